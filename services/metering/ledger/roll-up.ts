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

/**
 * Adds usages up by key, in the order of the keys: writers that lock rows in one order cannot wait for each other. A call
 * counts with its last attempt, an attempt with its provider.
 */
export function rollUp(usages: readonly RatedUsage[]): SpendSum[] {
  const sums = new Map<string, SpendSum>();
  for (const rated of usages) for (const part of split(rated)) add(sums, part);
  return [...sums].sort(([left], [right]) => (left < right ? -1 : 1)).map(([, sum]) => sum);
}

function split({ usage, attempts }: RatedUsage): SpendSum[] {
  const base = {
    organisation: usage.caller?.organisation ?? "",
    day: toDay(usage.endedAt?.seconds ?? 0n),
    team: usage.caller?.team ?? "",
    app: usage.caller?.app ?? "",
    environment: usage.caller?.environment ?? "",
    key: usage.caller?.identity.value ?? "",
    model: usage.model,
    region: usage.producer?.region ?? "",
  };
  const none = { attempts: 0n, calls: 0n, quantity: 0n, costNanos: 0n };
  if (attempts.length === 0) return [{ ...base, ...none, provider: "", meter: 0, calls: 1n }];
  return attempts.flatMap(({ provider, lines }, index) => [
    { ...base, ...none, provider, meter: 0, attempts: 1n, calls: index === attempts.length - 1 ? 1n : 0n },
    ...lines.map(({ meter, quantity, costNanos }) => ({ ...base, ...none, provider, meter, quantity, costNanos })),
  ]);
}

function add(sums: Map<string, SpendSum>, part: SpendSum): void {
  const { organisation, day, team, app, environment, key, model, provider, region, meter } = part;
  const name = JSON.stringify([organisation, day, team, app, environment, key, model, provider, region, meter]);
  const sum = sums.get(name);
  sums.set(
    name,
    sum === undefined
      ? part
      : {
          ...sum,
          attempts: sum.attempts + part.attempts,
          calls: sum.calls + part.calls,
          quantity: sum.quantity + part.quantity,
          costNanos: sum.costNanos + part.costNanos,
        },
  );
}

function toDay(seconds: bigint): string {
  return new Date(Number(seconds) * 1_000).toISOString().slice(0, 10);
}
