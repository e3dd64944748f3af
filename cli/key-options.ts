import { type Duration, durationFromMs } from "@bufbuild/protobuf/wkt";
import { InvalidArgumentError } from "commander";

const UNIT_MS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** Reads a whole number from 0. */
export function parseCount(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError("should be a whole number from 0");
  return Number(text);
}

/** A day of the calendar, which begins in UTC, or a moment that says its zone. */
const TIME = /^(\d{4}-\d\d-\d\d)(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d))?$/;

/** Reads a moment, such as 2027-01-31 or 2027-01-31T12:00:00Z. */
export function parseTime(text: string): Date {
  const time = new Date(text);
  const [, day = ""] = TIME.exec(text) ?? [];
  // The runtime takes the 30th of February for the 2nd of March, and a time without a zone for one of this machine.
  const isDay = day !== "" && new Date(day).toJSON()?.startsWith(day) === true;
  if (!isDay || Number.isNaN(time.getTime())) {
    throw new InvalidArgumentError("should be a time such as 2027-01-31T12:00:00Z");
  }
  return time;
}

/** Reads a span of time in milliseconds: a number with s, m, h or d, or 0. */
export function parseSpanMs(text: string): number {
  const match = /^(\d{1,7})([smhd])$/.exec(text === "0" ? "0s" : text);
  if (match === null) throw new InvalidArgumentError("should be a span of time such as 45s, 30m, 24h or 7d");
  return Number(match[1]) * UNIT_MS[match[2] as keyof typeof UNIT_MS];
}

/** Reads such a span as a message has it. */
export function parseSpan(text: string): Duration {
  return durationFromMs(parseSpanMs(text));
}

/** Writes a span of time in the largest unit that shows all of it. */
export function formatSpan({ seconds, nanos }: Duration): string {
  const ms = Number(seconds) * 1_000 + Math.round(nanos / 1e6);
  const [unit, unitMs] = (["d", "h", "m"] as const)
    .map((name) => [name, UNIT_MS[name]] as const)
    .find(([, size]) => ms > 0 && ms % size === 0) ?? ["s", UNIT_MS.s];
  return `${ms / unitMs}${unit}`;
}

/** Adds a label, written name=value, to those before it, none of its name. Its value may be empty and may hold further signs of equality. */
export function collectLabel(text: string, before: Readonly<Record<string, string>> = {}): Record<string, string> {
  const at = text.indexOf("=");
  if (at < 1) throw new InvalidArgumentError("should be name=value");
  const name = text.slice(0, at);
  if (Object.hasOwn(before, name)) throw new InvalidArgumentError(`should be the only label "${name}"`);
  return { ...before, [name]: text.slice(at + 1) };
}
