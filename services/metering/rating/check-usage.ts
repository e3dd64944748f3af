import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { type UsageRecorded, UsageRecordedSchema } from "../../../gen/weir/event/v1/usage_recorded_pb.ts";
import { compileRules } from "../../shared/validation/compile-rules.ts";
import { getFailFastValidator } from "../../shared/validation/validator.ts";

/** Why a usage cannot be posted: a kind for counting, and words for whoever looks at it. */
export interface Unpostable {
  readonly kind: "MALFORMED" | "INVALID" | "REGION" | "TIME" | "AMOUNT" | "CONTRADICTION" | "REFUSED";
  readonly detail: string;
}

/** A usage may have begun and ended this far ahead of our clock; the clocks of a mesh may differ by it. */
export const MAX_AHEAD_MS = 10 * 60_000;
// Before any usage of this system; a clock that was never set says 1970.
const EARLIEST_MS = Date.UTC(2020, 0, 1);

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
// U+FFFD is fine; NUL is not, because PostgreSQL cannot store it in text.
const NUL = "\0";

const keepsRules = compileRules(UsageRecordedSchema);

/**
 * Checks whether a usage may go into the ledger of its region at this instant. Returns undefined when it may. It comes from a
 * router, over a bus: parse, do not trust.
 */
export function checkUsage(usage: UsageRecorded, region: string, nowMs: number): Unpostable | undefined {
  if (!keepsRules(usage)) return { kind: "INVALID", detail: describeViolation(usage) };
  // The store sorts usages into days by the time in their ids.
  if (!UUID_V7.test(usage.eventId)) return { kind: "INVALID", detail: "event_id is not a UUIDv7 in lower case" };
  if (holdsNul(usage)) return { kind: "INVALID", detail: "a text contains NUL" };
  if (usage.producer?.region !== region) {
    return {
      kind: "REGION",
      detail: `the producer says region "${usage.producer?.region}" on the stream of "${region}"`,
    };
  }
  return checkInstant("began", usage.startedAt, nowMs) ?? checkInstant("ended", usage.endedAt, nowMs);
}

// Both instants are stored: one that no calendar has would fail for ever, and hold up all that comes with it.
function checkInstant(act: string, instant: Timestamp | undefined, nowMs: number): Unpostable | undefined {
  const ms = Number(instant?.seconds ?? 0n) * 1_000;
  if (ms > nowMs + MAX_AHEAD_MS) return { kind: "TIME", detail: `it ${act} more than 10 minutes in the future` };
  if (ms < EARLIEST_MS) return { kind: "TIME", detail: `it ${act} before 2020` };
  return undefined;
}

function describeViolation(usage: UsageRecorded): string {
  // Only for words: it says the same, but reads the rules anew for each message.
  const { violations, error } = getFailFastValidator().validate(UsageRecordedSchema, usage);
  return String(violations?.[0] ?? error);
}

function holdsNul({ caller, model, attempts }: UsageRecorded): boolean {
  const has = (text: string | undefined): boolean => text?.includes(NUL) ?? false;
  return (
    [caller?.identity.value, caller?.runId, caller?.parentRunId, caller?.endUser, model].some(has) ||
    attempts.some(({ target, provider, providerModel }) => has(target) || has(provider) || has(providerModel))
  );
}
