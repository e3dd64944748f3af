import type { UsageRecorded } from "../../../gen/weir/event/v1/usage_recorded_pb.ts";
import type { RatedUsage } from "../rating/rate.ts";

/** What spend is told apart by, at the finest. */
export interface SpendKey {
  readonly organisation: string;
  /** Day (UTC) on which the call ended, YYYY-MM-DD. */
  readonly day: string;
  readonly team: string;
  readonly app: string;
  readonly environment: string;
  /** Id of the key, or subject of the token. */
  readonly key: string;
  readonly model: string;
  /** Empty for a call that called no provider. */
  readonly provider: string;
  readonly region: string;
  /** Number of the meter; 0 for the row that counts attempts and calls. */
  readonly meter: number;
}

/** Spend of one key: a projection of usages that can be made again from them at any time. */
export interface SpendSum extends SpendKey {
  readonly attempts: bigint;
  readonly calls: bigint;
  readonly quantity: bigint;
  readonly costNanos: bigint;
}

/** A sum that is being added up. */
type OpenSum = { -readonly [Field in keyof SpendSum]: SpendSum[Field] };

/**
 * Adds usages up by key, in the order of the keys: writers that lock rows in one order cannot wait for each other. A call
 * counts with its last attempt, an attempt with its provider.
 */
export function rollUp(usages: readonly RatedUsage[]): SpendSum[] {
  const groups = new Map<string, Group>();
  const toDay = createDays();
  for (const { usage, attempts } of usages) {
    const group = getGroup(groups, usage, toDay(usage.endedAt?.seconds ?? 0n));
    if (attempts.length === 0) getSum(group, "", 0).calls += 1n;
    for (const [index, { provider, lines }] of attempts.entries()) {
      const attempted = getSum(group, provider, 0);
      attempted.attempts += 1n;
      if (index === attempts.length - 1) attempted.calls += 1n;
      for (const { meter, quantity, costNanos } of lines) {
        const metered = getSum(group, provider, meter);
        metered.quantity += quantity;
        metered.costNanos += costNanos;
      }
    }
  }
  return [...groups.values()]
    .flatMap(({ name, sums }) => [...sums].map(([rest, sum]) => ({ name: name + rest, sum })))
    .sort((left, right) => (left.name < right.name ? -1 : 1))
    .map(({ sum }) => sum);
}

/** What is alike in all sums of usages that differ in nothing but provider and meter. */
interface Group {
  readonly name: string;
  readonly base: Omit<SpendKey, "provider" | "meter">;
  readonly sums: Map<string, OpenSum>;
}

function getGroup(groups: Map<string, Group>, { caller, producer, model }: UsageRecorded, day: string): Group {
  const { organisation = "", team = "", app = "", environment = "", identity } = caller ?? {};
  const { value: key = "" } = identity ?? {};
  const { region = "" } = producer ?? {};
  // No text of a usage that may be posted holds NUL, so that no two keys have one name.
  const name = `${organisation}\0${day}\0${team}\0${app}\0${environment}\0${key}\0${model}\0${region}`;
  let group = groups.get(name);
  if (group === undefined) {
    group = { name, base: { organisation, day, team, app, environment, key, model, region }, sums: new Map() };
    groups.set(name, group);
  }
  return group;
}

function getSum({ base, sums }: Group, provider: string, meter: number): OpenSum {
  const name = `\0${provider}\0${meter}`;
  let sum = sums.get(name);
  if (sum === undefined) {
    sum = { ...base, provider, meter, attempts: 0n, calls: 0n, quantity: 0n, costNanos: 0n };
    sums.set(name, sum);
  }
  return sum;
}

const DAY_SECONDS = 86_400n;

// Names days (UTC). Nearly all usages of an intake are of one day, so that the last name mostly serves again.
function createDays(): (seconds: bigint) => string {
  let last = -1n;
  let name = "";
  return (seconds) => {
    const day = seconds / DAY_SECONDS;
    if (day !== last) {
      last = day;
      name = new Date(Number(day * DAY_SECONDS) * 1_000).toISOString().slice(0, 10);
    }
    return name;
  };
}
