import type { Duration } from "@bufbuild/protobuf/wkt";
import type { SnapshotProvider, SnapshotTarget } from "../../../gen/weir/policy/v1/snapshot_pb.ts";

/** How long is waited for a provider, milliseconds from 1. */
export interface Timeouts {
  /** From the beginning of the attempt until the connection stands. */
  readonly connectMs: number;
  /** From the request until the first content. */
  readonly firstTokenMs: number;
  /** Between two pieces of an answer. */
  readonly idleMs: number;
  /** The whole chat, all attempts together. */
  readonly totalMs: number;
}

/** The timeouts of a provider. */
export function readProviderTimeouts(provider: SnapshotProvider): Timeouts {
  return {
    connectMs: toMs(provider.connectTimeout) ?? 5_000,
    firstTokenMs: toMs(provider.firstTokenTimeout) ?? 60_000,
    idleMs: toMs(provider.idleTimeout) ?? 60_000,
    totalMs: toMs(provider.totalTimeout) ?? 600_000,
  };
}

/** The timeouts of a target: its own, where it has any, else those of its provider; the very same object when it has none. */
export function readTargetTimeouts(target: SnapshotTarget, ofProvider: Timeouts): Timeouts {
  const { connectTimeout, firstTokenTimeout, idleTimeout, totalTimeout } = target;
  if ((connectTimeout ?? firstTokenTimeout ?? idleTimeout ?? totalTimeout) === undefined) return ofProvider;
  return {
    connectMs: toMs(connectTimeout) ?? ofProvider.connectMs,
    firstTokenMs: toMs(firstTokenTimeout) ?? ofProvider.firstTokenMs,
    idleMs: toMs(idleTimeout) ?? ofProvider.idleMs,
    totalMs: toMs(totalTimeout) ?? ofProvider.totalMs,
  };
}

/** What is allowed, shortened by what a rule or a caller asks: neither makes a wait longer than it is allowed to be. */
export function shorten(allowed: Timeouts, asked: Partial<Timeouts> | undefined): Timeouts {
  if (asked === undefined) return allowed;
  return {
    connectMs: Math.min(allowed.connectMs, asked.connectMs ?? allowed.connectMs),
    firstTokenMs: Math.min(allowed.firstTokenMs, asked.firstTokenMs ?? allowed.firstTokenMs),
    idleMs: Math.min(allowed.idleMs, asked.idleMs ?? allowed.idleMs),
    totalMs: Math.min(allowed.totalMs, asked.totalMs ?? allowed.totalMs),
  };
}

function toMs(duration: Duration | undefined): number | undefined {
  if (duration === undefined) return undefined;
  return Number(duration.seconds) * 1000 + Math.ceil(duration.nanos / 1_000_000);
}
