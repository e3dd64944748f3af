/**
 * The life of a release, from top to bottom: pending → a wave is given the version → its routers apply it → they are watched → the next
 * wave … → done; or halted by its gates or an operator, and rolled back. Everything is in the database: any instance of policy takes the
 * next step, and of several that see it the first to have the lock.
 */
import type { ReleaseWave } from "../../gen/weir/policy/v1/release_pb.ts";
import { ReleaseState, ReleaseStateSchema } from "../../gen/weir/policy/v1/release_pb.ts";
import type { PoolClient } from "../shared/database/pool.ts";
import { WeirError } from "../shared/errors/weir-error.ts";
import { type ReleaseFacts, readReleaseFacts } from "./distribution/release-facts.ts";
import { appendReleaseRecord } from "./distribution/release-record.ts";
import { afterCommit, type ChangeParts, restoreVersion } from "./publish.ts";
import { chooseRouters } from "./rollout/choose-routers.ts";
import { findNextStep, type ReleaseStep } from "./rollout/next-step.ts";
import { isWholeRegions } from "./rollout/waves.ts";
import { change } from "./store/change.ts";
import { findPolicy } from "./store/policy-versions.ts";
import {
  admitRouters,
  findRelease,
  findReleaseUnderWay,
  releaseLatest,
  type StoredRelease,
  updateRelease,
} from "./store/releases.ts";
import { markTraffic } from "./store/traffic.ts";

/** Who takes the steps that gates decide. */
const GATES_ACTOR = "policy";

/** What came of looking after releases: none is under way, one waits for its routers or its time, or a step was taken. */
export type Advance = "idle" | "waiting" | "stepped";

/**
 * Takes the next step of the release that is under way, if it is due. Safe to call at any time and from several instances at once. For so
 * many milliseconds, `lookingMs`, this instance has been there for routers to report to: no deadline is judged to have passed sooner.
 */
export async function advanceRelease(parts: ChangeParts, lookingMs: number, signal?: AbortSignal): Promise<Advance> {
  const toStep = ({ position, gates }: ReleaseFacts): ReleaseStep =>
    findNextStep(position, { ...gates, rollingMs: Math.min(gates.rollingMs, lookingMs) });
  const seen = await findReleaseUnderWay(parts.pool);
  if (seen === undefined) return "idle";
  const step = toStep(await readReleaseFacts(parts.pool, seen));
  if (step.step === "stay") return "waiting";
  const isTaken = await change(
    parts.pool,
    async (client) => {
      // What was seen without the lock may be over; what is decided is decided on what is there now.
      const release = await findReleaseUnderWay(client);
      if (release === undefined || release.releaseId !== seen.releaseId) return false;
      const facts = await readReleaseFacts(client, release);
      return await take(client, parts, release, facts, toStep(facts));
    },
    signal === undefined ? {} : { signal },
  );
  await afterCommit(parts);
  return isTaken ? "stepped" : "waiting";
}

/** Who halts a release, and why. */
export interface HaltRequest {
  readonly requestId: string;
  readonly policyVersion: bigint;
  readonly comment: string;
  readonly actor: string;
}

/** Halts the release of the latest version. Throws VERSION_CONFLICT when it is of another version or has ended, NOT_FOUND when there is none. */
export async function haltRelease(parts: ChangeParts, request: HaltRequest, signal?: AbortSignal): Promise<void> {
  const { policyVersion, comment, actor, requestId } = request;
  await change(
    parts.pool,
    async (client) => {
      const release = await findRelease(client, policyVersion);
      if (release === undefined) {
        throw new WeirError("NOT_FOUND", `Cannot halt release: version ${policyVersion} has none`, {
          facts: { policy_version: String(policyVersion) },
        });
      }
      if (release.state === ReleaseState.HALTED || release.state === ReleaseState.ROLLED_BACK) return;
      const underWay = await findReleaseUnderWay(client);
      if (underWay?.releaseId !== release.releaseId) throw refuseHalt(release);
      const reasons = [comment === "" ? `${actor} halted it` : `${actor} halted it: ${comment}`];
      await enter(client, parts, release, { state: ReleaseState.HALTED, reasons, actor, requestId });
    },
    signal === undefined ? {} : { signal },
  );
  await afterCommit(parts);
}

async function take(
  client: PoolClient,
  parts: ChangeParts,
  release: StoredRelease,
  facts: ReleaseFacts,
  step: ReleaseStep,
): Promise<boolean> {
  const actor = GATES_ACTOR;
  switch (step.step) {
    case "stay":
      return false;
    case "begin-wave":
      return await beginWave(client, parts, release, facts, step.wave);
    case "bake":
      return await enter(client, parts, release, { state: ReleaseState.BAKING, actor });
    case "roll":
      return await enter(client, parts, release, { state: ReleaseState.ROLLING, actor });
    case "finish":
      await releaseLatest(client);
      return await enter(client, parts, release, { state: ReleaseState.DONE, actor });
    case "halt":
      return await enter(client, parts, release, { state: ReleaseState.HALTED, reasons: step.reasons, actor });
    case "roll-back":
      return await rollBack(client, parts, release);
  }
}

async function beginWave(
  client: PoolClient,
  parts: ChangeParts,
  release: StoredRelease,
  { routers }: ReleaseFacts,
  number: number,
): Promise<boolean> {
  const wave = release.waves[number] as ReleaseWave;
  // Who has never said what it runs could not be judged: it gets the version when its region is open for all.
  const present = routers.filter(({ isWatching, report }) => isWatching && report !== undefined);
  const chosen = chooseRouters(release.releaseId, wave, present);
  const named = chosen.map(({ region, instance }) => ({ region, instance, wave: number }));
  await admitRouters(client, release.releaseId, named, isWholeRegions(wave) ? wave.regions : []);
  await markTraffic(client);
  const admitted = named.map(({ region, instance }) => `${region}/${instance}`);
  return await enter(client, parts, release, {
    state: ReleaseState.ROLLING,
    wave: number,
    actor: GATES_ACTOR,
    admitted: isWholeRegions(wave) ? [] : admitted,
  });
}

// The content that ran before, as a new version for all: the routers that were given the bad one take it since it is newer, and the others
// get a number that they have not seen either, so that numbers rise everywhere.
async function rollBack(client: PoolClient, parts: ChangeParts, release: StoredRelease): Promise<boolean> {
  const base = await findPolicy(client, release.basePolicyVersion);
  if (base === undefined) return false;
  const comment = `Release of version ${release.policyVersion} was halted: ${release.reasons.join("; ")}`.slice(
    0,
    1_000,
  );
  const { reasons, wave } = release;
  const state = ReleaseState.ROLLED_BACK;
  // First out of the way: what is under way is superseded by a publish.
  if (!(await updateRelease(client, release, { state, wave, reasons }))) return false;
  const rolledBackBy = await restoreVersion(client, parts, base, { actor: GATES_ACTOR, comment });
  const stepped = { ...release, revision: release.revision + 1 };
  await updateRelease(client, stepped, { state, wave, reasons, rolledBackBy });
  await appendReleaseRecord(client, parts.clock, { release, state, wave, reasons, rolledBackBy, actor: GATES_ACTOR });
  return true;
}

interface Entry {
  readonly state: ReleaseState;
  readonly actor: string;
  readonly wave?: number;
  readonly reasons?: readonly string[];
  readonly requestId?: string;
  readonly admitted?: readonly string[];
}

// Every step is on record in the transaction that takes it.
async function enter(client: PoolClient, parts: ChangeParts, release: StoredRelease, entry: Entry): Promise<boolean> {
  const { state, wave = release.wave, reasons = [] } = entry;
  if (!(await updateRelease(client, release, { state, wave, reasons }))) return false;
  await appendReleaseRecord(client, parts.clock, { ...entry, release, wave, reasons });
  return true;
}

function refuseHalt({ policyVersion, state }: StoredRelease): WeirError {
  const name = ReleaseStateSchema.value[state]?.localName ?? "unknown";
  return new WeirError(
    "VERSION_CONFLICT",
    `Cannot halt release: that of version ${policyVersion} is ${name.toLowerCase()}`,
    { facts: { policy_version: String(policyVersion), state: name } },
  );
}
