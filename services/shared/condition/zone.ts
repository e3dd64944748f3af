/** The parts of an instant in a time zone, numbered as CEL's methods of a timestamp number them. */
export interface ZonedTime {
  readonly getFullYear: number;
  /** From 0. */
  readonly getMonth: number;
  /** From 1. */
  readonly getDate: number;
  /** From 0. */
  readonly getDayOfMonth: number;
  /** From 0, which is Sunday. */
  readonly getDayOfWeek: number;
  /** From 0. */
  readonly getDayOfYear: number;
  readonly getHours: number;
  readonly getMinutes: number;
  readonly getSeconds: number;
}

/** Names of the methods. */
export const TIME_METHODS = [
  "getFullYear",
  "getMonth",
  "getDate",
  "getDayOfMonth",
  "getDayOfWeek",
  "getDayOfYear",
  "getHours",
  "getMinutes",
  "getSeconds",
] as const satisfies readonly (keyof ZonedTime)[];

const DAY_MS = 86_400_000;

/**
 * A function that says what time it is in a zone: an IANA name, "UTC" or an offset such as "+01:00"; undefined for what is no zone. It
 * remembers the last second, for it is asked about the present. The zone of the machine plays no part.
 */
export function findZone(zone: string): ((nowMs: number) => ZonedTime) | undefined {
  let format: Intl.DateTimeFormat;
  try {
    format = new Intl.DateTimeFormat("en-US", {
      timeZone: zone,
      hourCycle: "h23",
      era: "short",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
    });
  } catch {
    return undefined;
  }
  let lastSecond = Number.NaN;
  let last: ZonedTime | undefined;
  return (nowMs) => {
    const second = Math.floor(nowMs / 1000);
    if (last === undefined || second !== lastSecond) {
      last = readParts(format.formatToParts(second * 1000));
      lastSecond = second;
    }
    return last;
  };
}

function readParts(parts: readonly Intl.DateTimeFormatPart[]): ZonedTime {
  const get = (type: Intl.DateTimeFormatPartTypes): number => Number(parts.find((part) => part.type === type)?.value);
  const [year, month, date] = [get("year"), get("month") - 1, get("day")];
  // As if it were UTC: days of weeks and years follow from the date alone.
  const dayMs = Date.UTC(year, month, date);
  return {
    getFullYear: year,
    getMonth: month,
    getDate: date,
    getDayOfMonth: date - 1,
    getDayOfWeek: new Date(dayMs).getUTCDay(),
    getDayOfYear: Math.round((dayMs - Date.UTC(year, 0, 1)) / DAY_MS),
    getHours: get("hour"),
    getMinutes: get("minute"),
    getSeconds: get("second"),
  };
}
