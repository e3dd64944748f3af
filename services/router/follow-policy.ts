import type { Snapshot } from "../../gen/weir/policy/v1/snapshot_pb.ts";
import type { Health } from "../shared/mesh/health.ts";
import type { KeptSnapshots } from "../shared/snapshot/keep.ts";
import type { Log } from "../shared/telemetry/log.ts";
import type { Metrics } from "../shared/telemetry/metrics.ts";
import type { CredentialSource } from "./credentials/credential.ts";
import type { Pools } from "./dispatch/pools.ts";
import type { Standings } from "./ejection/standings.ts";
import type { UpstreamBook } from "./routing/upstream-book.ts";
import type { Upstreams } from "./routing/upstreams.ts";

/** What changes with the policy that a router runs. */
export interface PolicyFollowers {
  readonly snapshots: Pick<KeptSnapshots, "current" | "onChange">;
  readonly credentials: Pick<CredentialSource, "isLoaded" | "reread" | "onChange">;
  readonly upstreams: Pick<UpstreamBook, "renew">;
  readonly pools: Pick<Pools, "keepOnly">;
  readonly standings: Pick<Standings, "keepOnly">;
  readonly health: Health;
  readonly metrics: Pick<Metrics, "weir_router_snapshot_version">;
  readonly log: Log;
}

/**
 * Brings into effect what a router runs, now and after each change: providers that went are let go of, versions are shown, and it is ready
 * once it has a snapshot, a keyring and the credentials that they name. Call what it returns when callers are let in: before that it
 * says of no state that it is ready.
 */
export function followPolicy(followers: PolicyFollowers): () => void {
  const { snapshots, credentials, upstreams, pools, standings, health, metrics, log } = followers;
  let isOpen = false;
  let appliedSnapshot: Snapshot | undefined;
  let appliedUpstreams: Upstreams | undefined;
  const apply = () => {
    const pinned = snapshots.current();
    if (pinned === undefined) return;
    const { snapshot, snapshotVersion, keyringVersion } = pinned;
    metrics.weir_router_snapshot_version.set({ kind: "snapshot" }, Number(snapshotVersion));
    metrics.weir_router_snapshot_version.set({ kind: "keyring" }, Number(keyringVersion));
    if (!credentials.isLoaded() && snapshot.providers.some(({ credential }) => credential !== "")) {
      health.setNotReady("no credentials yet");
    } else if (isOpen) {
      health.setReady(`snapshot ${snapshotVersion}, keyring ${keyringVersion}`);
    }
    if (snapshot !== appliedSnapshot) credentials.reread();
    appliedSnapshot = snapshot;
    const renewed = upstreams.renew(snapshot);
    if (renewed === appliedUpstreams) return;
    appliedUpstreams = renewed;
    pools.keepOnly(renewed.list());
    standings.keepOnly(renewed.listTargets());
    for (const { id, reason, state } of renewed.unusable)
      log.warn({ provider: id, reason, state }, "A provider can't be used");
  };
  snapshots.onChange(apply);
  credentials.onChange(apply);
  if (snapshots.current() === undefined) health.setNotReady("no snapshot and keyring yet");
  apply();
  return () => {
    isOpen = true;
    apply();
  };
}
