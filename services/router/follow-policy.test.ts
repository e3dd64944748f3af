import { expect, it } from "vitest";
import { Health } from "../shared/mesh/health.ts";
import type { PinnedPolicy } from "../shared/snapshot/hold.ts";
import { createLog } from "../shared/telemetry/log.ts";
import { createMetrics } from "../shared/telemetry/metrics.ts";
import { followPolicy, type PolicyFollowers } from "./follow-policy.ts";
import { createSnapshot } from "./harness.fixture.ts";
import { UpstreamBook } from "./routing/upstream-book.ts";

/** A router whose snapshot names a credential; `change` says that something came. */
function follow({ hasPolicy = true, isLoaded = true }) {
  const snapshot = createSnapshot({ providers: ["http://127.0.0.1:1/v1"], credentials: new Map() });
  const pinned = { snapshot, snapshotVersion: 7n, keyringVersion: 9n } as PinnedPolicy;
  const held = { policy: hasPolicy ? pinned : undefined, isLoaded };
  const kept = { pools: 0, standings: 0, reread: 0 };
  let change = () => {};
  const findCredential = () => ({ secret: "secret", origins: [] });
  const health = new Health();
  const followers: PolicyFollowers = {
    snapshots: {
      current: () => held.policy,
      onChange: (listener) => {
        change = () => listener("snapshot");
        return () => {};
      },
    },
    credentials: { isLoaded: () => held.isLoaded, reread: () => void kept.reread++, onChange: () => {} },
    upstreams: new UpstreamBook(() => findCredential),
    pools: { keepOnly: () => void kept.pools++ },
    standings: { keepOnly: () => void kept.standings++ },
    health,
    metrics: createMetrics("router"),
    log: createLog({ service: "test", level: "silent" }),
  };
  return {
    open: followPolicy(followers),
    change: () => change(),
    hear: () => {
      held.policy = pinned;
      held.isLoaded = true;
    },
    health,
    kept,
  };
}

it("a router is not ready before callers are let in, and is once they are", () => {
  const { health, open } = follow({});
  expect(health.readiness.ready).toBe(false);

  open();

  expect(health.readiness).toEqual({ ready: true, reason: "snapshot 7, keyring 9" });
});

it.each([
  ["a snapshot", { hasPolicy: false }, "no snapshot and keyring yet"],
  ["the credentials that it names", { isLoaded: false }, "no credentials yet"],
])("a router that has not got %s is not ready, and becomes it when that has come", (_, missing, reason) => {
  const { health, open, hear, change } = follow(missing);
  open();
  expect(health.readiness).toEqual({ ready: false, reason });

  hear();
  change();

  expect(health.readiness.ready).toBe(true);
});

it("a change that leaves the providers as they are lets go of none", () => {
  const { kept, open, change } = follow({});
  open();
  change();

  expect(kept).toEqual({ pools: 1, standings: 1, reread: 1 });
});
