import { durationMs } from "@bufbuild/protobuf/wkt";
import type { Gates } from "../../../gen/weir/policy/v1/policy_pb.ts";
import type { OverheadBucket } from "../../../gen/weir/policy/v1/snapshot_service_pb.ts";
import { findOverheadP95, PERCENTILE_CALLS } from "./overhead.ts";

/** What must hold of the routers that were given a version, defaults filled in. */
export interface GateLimits {
  /** How long a router may take to apply it, or be gone, milliseconds. */
  readonly appliedWithinMs: number;
  /** Rates are compared only when both sides have had so many calls. */
  readonly minimumCalls: number;
  /** By how many of a hundred calls the failures may exceed those of the others. */
  readonly failurePercent: number;
  /** The same of denials. */
  readonly denialPercent: number;
  /** By how much the routers' own time for 95 of 100 calls may exceed that of the others, milliseconds. */
  readonly overheadMs: number;
}

/** Calls of some routers. */
export interface TrafficCount {
  readonly calls: number;
  readonly failures: number;
  readonly denials: number;
  /** By the time that the routers themselves took for them, shortest first; fewer than all of them when routers did not say. */
  readonly overhead: readonly Pick<OverheadBucket, "atMost" | "calls">[];
}

/** A router that a release has given the version to. */
export interface AdmittedRouter {
  /** "region/instance". */
  readonly name: string;
  /** Whether a wave has named it; one that came later to a region that is open for all is not waited for. */
  readonly isNamed: boolean;
  readonly isConnected: boolean;
  readonly hasApplied: boolean;
  /** Why it has refused the version; absent when it has not. */
  readonly refusal: readonly string[] | undefined;
  /** How often the version has crashed it. */
  readonly crashes: number;
}

/** What gates are judged by. */
export interface GateFacts {
  readonly routers: readonly AdmittedRouter[];
  /** How long the routers have been rolling: since the wave began, or since one of them was missed while it baked. Milliseconds. */
  readonly rollingMs: number;
  /** What those routers did since they applied the version. */
  readonly newTraffic: TrafficCount;
  /** What it is compared with. */
  readonly oldTraffic: TrafficCount;
}

/** What the gates say: *open* when every router runs the version and none does worse than the others. */
export type GateVerdict =
  | { readonly verdict: "open" }
  | { readonly verdict: "waiting"; readonly reasons: readonly string[] }
  | { readonly verdict: "failed"; readonly reasons: readonly string[] };

/** The limits of a policy's gates. */
export function toGateLimits(gates: Gates | undefined): GateLimits {
  return {
    appliedWithinMs: gates?.appliedWithin === undefined ? 10_000 : durationMs(gates.appliedWithin),
    minimumCalls: gates?.minimumCalls || 20,
    failurePercent: gates?.failurePercent || 5,
    denialPercent: gates?.denialPercent || 10,
    overheadMs: gates?.overheadP95 === undefined ? 20 : durationMs(gates.overheadP95),
  };
}

/** So many reasons say enough. */
const REASON_LIMIT = 16;

/**
 * Judges the routers that have been given a version. A refusal or a crash fails at once. Who has not applied it, or is gone, has until the
 * deadline; of ten routers and more, one in ten may be gone for good, since fleets shrink while releases run.
 */
export function judgeGates(limits: GateLimits, facts: GateFacts): GateVerdict {
  const failures = facts.routers.flatMap(findFailure);
  const rates = [
    findExcess("fail", facts, ({ failures: count }) => count, limits.failurePercent, limits.minimumCalls),
    findExcess("are denied", facts, ({ denials }) => denials, limits.denialPercent, limits.minimumCalls),
    findSlowness(facts, limits),
  ];
  failures.push(...rates.filter((reason) => reason !== undefined));
  if (failures.length > 0) return { verdict: "failed", reasons: failures.slice(0, REASON_LIMIT) };

  const named = facts.routers.filter(({ isNamed }) => isNamed);
  const slow = named.filter(({ isConnected, hasApplied }) => isConnected && !hasApplied);
  const gone = named.filter(({ isConnected }) => !isConnected);
  const isOverdue = facts.rollingMs >= limits.appliedWithinMs;
  const mayBeGone = Math.floor(named.length / 10);
  const within = `within ${limits.appliedWithinMs / 1000} s`;
  if (isOverdue && (slow.length > 0 || gone.length > mayBeGone)) {
    const reasons = [
      ...slow.map(({ name }) => `${name} did not apply it ${within}`),
      ...gone.map(({ name }) => `${name} was given it and did not come back ${within}`),
    ];
    return { verdict: "failed", reasons: reasons.slice(0, REASON_LIMIT) };
  }
  if (slow.length === 0 && (gone.length === 0 || (isOverdue && gone.length <= mayBeGone))) return { verdict: "open" };
  const reasons = [
    ...slow.map(({ name }) => `${name} has not applied it yet`),
    ...gone.map(({ name }) => `${name} was given it and is not connected`),
  ];
  return { verdict: "waiting", reasons: reasons.slice(0, REASON_LIMIT) };
}

function findFailure({ name, refusal, crashes }: AdmittedRouter): string[] {
  if (crashes > 0) return [`It crashed ${name}`];
  return refusal === undefined ? [] : [`${name} refused it: ${refusal.join("; ").slice(0, 300)}`];
}

function findExcess(
  what: string,
  { newTraffic, oldTraffic }: GateFacts,
  count: (traffic: TrafficCount) => number,
  percent: number,
  minimumCalls: number,
): string | undefined {
  if (newTraffic.calls < minimumCalls || oldTraffic.calls < minimumCalls) return undefined;
  const rates = [newTraffic, oldTraffic].map((traffic) => (100 * count(traffic)) / traffic.calls) as [number, number];
  if (rates[0] <= rates[1] + percent) return undefined;
  const [after, before] = rates.map((rate) => rate.toFixed(1));
  return `Of the calls of routers with it ${after} % ${what}, of those of the others ${before} %; at most ${percent} % more may be`;
}

// Buckets tell a time as more than one bound and at most the next: it is longer for sure when it is by these.
function findSlowness(
  { newTraffic, oldTraffic }: GateFacts,
  { overheadMs, minimumCalls }: GateLimits,
): string | undefined {
  const calls = Math.max(minimumCalls, PERCENTILE_CALLS);
  const after = findOverheadP95(newTraffic.overhead, calls);
  const before = findOverheadP95(oldTraffic.overhead, calls);
  if (after === undefined || before === undefined) return undefined;
  if (after.moreThanMs - before.atMostMs <= overheadMs) return undefined;
  return (
    `The slowest 5 of 100 calls take routers with it more than ${after.moreThanMs} ms of their own, ` +
    `the others at most ${before.atMostMs} ms; at most ${overheadMs} ms more may be`
  );
}
