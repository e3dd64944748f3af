import type { RatedUsage } from "../rating/rate.ts";

/** One side of a posting. */
export interface Entry {
  /** Such as `spend/demo/team-a/app/production` or `provider/openai-eu`. Ids have no slash, so the parts are unambiguous. */
  readonly account: string;
  /** Above zero: the account is charged. Below: it is owed. Never zero. */
  readonly amountNanos: bigint;
}

/** Money that moves because of one usage. The amounts of its entries add up to zero; a trigger of the store lets in no other. */
export interface Posting {
  readonly postingId: string;
  readonly eventId: string;
  readonly organisation: string;
  readonly entries: readonly Entry[];
}

/**
 * Writes the posting of a usage: the tenant is charged with the whole cost, each provider that was called is owed its part.
 * A usage that costs nothing has no posting (undefined). Posting and event share their id: a usage is posted once.
 */
export function postUsage(rated: RatedUsage): Posting | undefined {
  if (rated.costNanos === 0n) return undefined;
  const { eventId, caller } = rated.usage;
  const owed = new Map<string, bigint>();
  for (const { provider, costNanos } of rated.attempts) {
    owed.set(provider, (owed.get(provider) ?? 0n) + costNanos);
  }
  const tenant = [caller?.organisation, caller?.team, caller?.app, caller?.environment].join("/");
  return {
    postingId: eventId,
    eventId,
    organisation: caller?.organisation ?? "",
    entries: [
      { account: `spend/${tenant}`, amountNanos: rated.costNanos },
      ...[...owed]
        .filter(([, amount]) => amount !== 0n)
        .map(([provider, amount]): Entry => ({ account: `provider/${provider}`, amountNanos: -amount })),
    ],
  };
}
