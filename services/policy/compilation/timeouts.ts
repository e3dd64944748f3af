import { type Duration, durationFromMs, durationMs } from "@bufbuild/protobuf/wkt";
import type { Provider, Timeouts } from "../../../gen/weir/policy/v1/policy_pb.ts";

/** The four timeouts with every default filled in. */
export interface FilledTimeouts {
  readonly connectTimeout: Duration;
  readonly firstTokenTimeout: Duration;
  readonly idleTimeout: Duration;
  readonly totalTimeout: Duration;
}

/** Defaults as documented at weir.policy.v1.Timeouts. */
const DEFAULTS_MS = { connect: 5_000, firstToken: 60_000, idle: 60_000, total: 600_000 } as const;

/** A provider's timeouts: its own, else those of the policy, else the defaults. */
export function fillTimeouts(provider: Provider, policyTimeouts: Timeouts | undefined): FilledTimeouts {
  const pick = (field: keyof typeof DEFAULTS_MS): Duration =>
    provider.timeouts?.[field] ?? policyTimeouts?.[field] ?? durationFromMs(DEFAULTS_MS[field]);
  return {
    connectTimeout: pick("connect"),
    firstTokenTimeout: pick("firstToken"),
    idleTimeout: pick("idle"),
    totalTimeout: pick("total"),
  };
}

/** A target's own timeouts, as far as it has any. */
export function pickTimeouts(timeouts: Timeouts | undefined): Partial<FilledTimeouts> {
  const { connect, firstToken, idle, total } = timeouts ?? {};
  return {
    ...(connect !== undefined && { connectTimeout: connect }),
    ...(firstToken !== undefined && { firstTokenTimeout: firstToken }),
    ...(idle !== undefined && { idleTimeout: idle }),
    ...(total !== undefined && { totalTimeout: total }),
  };
}

/** A duration in milliseconds. */
export function toMs(duration: Duration): number {
  return durationMs(duration);
}
