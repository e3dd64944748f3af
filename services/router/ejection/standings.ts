import type { SnapshotTarget } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import type { Clock } from "../../shared/clock.ts";
import type { Plan } from "../../shared/decision/plan.ts";
import type { Denial } from "../admission/admission.ts";
import type { TargetFault } from "../providers/fault.ts";
import type { Upstream } from "../routing/upstreams.ts";
import { siftPlan, type View } from "./sift.ts";
import {
  EJECTION,
  findAbsence,
  findLoneTryMs,
  getShare,
  isDue,
  noteAnswer,
  noteContent,
  noteFault,
  type Standing,
  type Tries,
} from "./standing.ts";

/** A target as it is reached: another address, model or credential makes it another one, of which nothing is known. */
export interface Reached {
  readonly target: SnapshotTarget;
  readonly upstream: Pick<Upstream, "provider" | "secret">;
}

/** A change that operators want to hear of. */
export interface StandingChange {
  readonly target: string;
  /** It was ejected (anew), it is left alone at its provider's word, or a probe has found that it answers. */
  readonly kind: "ejected" | "cooled" | "returned";
  readonly cause: TargetFault;
  /** For how long nobody asks it. */
  readonly forMs: number;
  /** How many times in a row it was ejected. */
  readonly ejections: number;
}

/** A target that is not asked by all now, for the live state. */
export interface AbsentTarget {
  readonly target: string;
  readonly state: "out" | "cooling" | "due" | "returning";
  readonly cause: TargetFault;
  readonly ejections: number;
  /** How much longer it stays so, milliseconds from 0. */
  readonly forMs: number;
}

/** What came of an attempt, for its target's standing. */
export interface AttemptEnd {
  readonly eventId: string;
  /** When it began, of the monotonic clock. */
  readonly startedMs: number;
  readonly isAnswered: boolean;
  /** Absent when it says nothing of its target. */
  readonly fault?: TargetFault | undefined;
  readonly retryAfterMs?: number | undefined;
}

/** What standings are made with. */
export interface StandingsOptions {
  readonly clock: Pick<Clock, "monotonicMs">;
  /** Name of this router: routers draw different jitters. */
  readonly router: string;
  /** Hears of each change once. Must not throw. */
  readonly onChange?: (change: StandingChange) => void;
}

const UNTRIED: Tries = { lastMs: Number.NEGATIVE_INFINITY, dueMs: Number.NEGATIVE_INFINITY };

/** How long a call that was admitted to try a target may take to begin its attempt; then another one may. */
const CLAIM_MS = 1_000;

interface Entry extends Reached {
  standing: Standing;
  /** Id of the call that tries it while it is out; empty when none does. */
  probe: string;
  probeUntilMs: number;
  /** When somebody tried it while it was out. */
  tries: Tries;
}

/**
 * How the targets of this router stand, each for itself. Nothing is held of those that do well, so that a call costs a look at the
 * size of a map while all do; there are no more entries than targets, and those of targets that a new snapshot changes go.
 */
export class Standings {
  readonly #clock: StandingsOptions["clock"];
  readonly #router: string;
  readonly #onChange: (change: StandingChange) => void;
  readonly #entries = new Map<string, Entry>();
  /** The targets that the router reaches now; undefined until it was said. */
  #reached: ReadonlyMap<string, Reached> | undefined;

  constructor({ clock, router, onChange = () => undefined }: StandingsOptions) {
    this.#clock = clock;
    this.#router = router;
    this.#onChange = onChange;
  }

  /** Whether nothing bad is known of any target. */
  get isQuiet(): boolean {
    return this.#entries.size === 0;
  }

  /** Sifts a plan: see {@link siftPlan}. Changes nothing. */
  sift(plan: Plan): Plan | Denial {
    if (this.isQuiet) return plan;
    const nowMs = this.#clock.monotonicMs();
    return siftPlan(plan, nowMs, ({ target }) => this.#view(target.id, nowMs));
  }

  /** A call that begins now will ask this target first: if it is out, others leave it alone meanwhile. */
  claim(target: SnapshotTarget, eventId: string): void {
    this.#try(target.id, eventId, CLAIM_MS);
  }

  /**
   * How long a call has to wait before it may ask a target, in milliseconds; undefined when it may now. It may have been planned a
   * while ago. `hasOther` says that it has another one to ask if not.
   */
  findWait(
    target: SnapshotTarget,
    { eventId, hasOther }: { readonly eventId: string; readonly hasOther: boolean },
  ): number | undefined {
    const entry = this.#entries.get(target.id);
    if (entry === undefined) return undefined;
    const nowMs = this.#clock.monotonicMs();
    if (entry.probe === eventId && nowMs < entry.probeUntilMs) return undefined;
    const view = this.#view(target.id, nowMs);
    if (view === undefined || view.kind === "in" || view.kind === "due") return undefined;
    return !hasOther && view.tryMs <= nowMs ? undefined : Math.max(0, view.tryMs - nowMs);
  }

  /** An attempt begins. */
  begin(target: SnapshotTarget, eventId: string): void {
    this.#try(target.id, eventId, Number.POSITIVE_INFINITY);
  }

  /** An attempt has content. */
  noteContent(reached: Reached, startedMs: number): void {
    const entry = this.#entries.get(reached.target.id);
    if (entry === undefined || !isSame(entry, reached)) return;
    this.#put(entry, noteContent(entry.standing, { startedMs, nowMs: this.#clock.monotonicMs() }));
  }

  /** An attempt has ended. */
  noteEnd(reached: Reached, end: AttemptEnd): void {
    const entry = this.#entries.get(reached.target.id);
    if (entry === undefined) {
      if (end.fault !== undefined) this.#noteFirst(reached, end);
      return;
    }
    if (entry.probe === end.eventId) entry.probe = "";
    if (!isSame(entry, reached)) return;
    const nowMs = this.#clock.monotonicMs();
    if (end.isAnswered) this.#put(entry, noteAnswer(entry.standing, { startedMs: end.startedMs, nowMs }));
    else if (end.fault !== undefined) this.#put(entry, this.#noteFault(reached, end, entry.standing));
  }

  /** Says which targets are reached from now on. What was known of others, and of those that have changed, is forgotten. */
  keepOnly(reached: readonly Reached[]): void {
    const byId = new Map(reached.map((one) => [one.target.id, one]));
    this.#reached = byId;
    for (const [id, entry] of this.#entries) {
      const now = byId.get(id);
      if (now === undefined || !isSame(entry, now)) this.#entries.delete(id);
    }
  }

  /** The targets that are not asked by all now. */
  list(): AbsentTarget[] {
    const nowMs = this.#clock.monotonicMs();
    return [...this.#entries].flatMap(([target, { standing }]) => {
      const { cause, ejections } = standing;
      const absence = describeAbsence(standing, nowMs);
      return absence === undefined ? [] : [{ target, cause, ejections, ...absence }];
    });
  }

  #view(id: string, nowMs: number): View | undefined {
    const entry = this.#entries.get(id);
    if (entry === undefined) return undefined;
    const { standing, tries } = entry;
    if (standing.state !== "out") {
      if (nowMs >= standing.coolUntilMs) return { kind: "in", share: getShare(standing, nowMs) };
      const reason = standing.cause === "limited" ? "PROVIDER_RATE_LIMITED" : "TARGET_EJECTED";
      return { kind: "absent", reason, tryMs: standing.coolUntilMs };
    }
    const tryMs = findLoneTryMs(standing, tries, nowMs);
    if (isDue(standing, nowMs)) {
      const isProbed = entry.probe !== "" && nowMs < entry.probeUntilMs;
      return isProbed ? { kind: "probed", reason: "TARGET_EJECTED", tryMs } : { kind: "due" };
    }
    const dueMs = Math.max(standing.outUntilMs, standing.coolUntilMs);
    return { kind: "absent", reason: "TARGET_EJECTED", tryMs: Math.min(dueMs, tryMs) };
  }

  #try(id: string, eventId: string, forMs: number): void {
    const entry = this.#entries.get(id);
    if (entry === undefined || entry.standing.state !== "out") return;
    const nowMs = this.#clock.monotonicMs();
    const { outUntilMs } = entry.standing;
    const isFirst = nowMs >= outUntilMs && entry.tries.dueMs < outUntilMs;
    entry.tries = { lastMs: nowMs, dueMs: isFirst ? nowMs : entry.tries.dueMs };
    entry.probe = eventId;
    entry.probeUntilMs = nowMs + forMs;
  }

  #noteFirst(reached: Reached, end: AttemptEnd): void {
    const { target, upstream } = reached;
    const now = this.#reached?.get(target.id);
    // A call under an older snapshot tells nothing of a target that has changed since.
    if (this.#reached !== undefined && (now === undefined || !isSame(now, reached))) return;
    const standing = this.#noteFault(reached, end, undefined);
    const entry: Entry = { target, upstream, standing, probe: "", probeUntilMs: 0, tries: UNTRIED };
    this.#entries.set(target.id, entry);
    this.#tell(target.id, undefined, standing);
  }

  #noteFault({ target }: Reached, end: AttemptEnd, earlier: Standing | undefined): Standing {
    const { fault, retryAfterMs, startedMs } = end as AttemptEnd & { readonly fault: TargetFault };
    const seed = `${this.#router} ${target.id}`;
    return noteFault(earlier, { fault, retryAfterMs, startedMs, nowMs: this.#clock.monotonicMs(), seed });
  }

  #put(entry: Entry, standing: Standing | undefined): void {
    const { standing: earlier } = entry;
    if (standing === earlier) return;
    if (standing === undefined) this.#entries.delete(entry.target.id);
    else {
      entry.standing = standing;
      this.#tell(entry.target.id, earlier, standing);
    }
  }

  /** Tells of changes, not of faults: one that is ejected already, or left alone already, is no news. */
  #tell(
    target: string,
    earlier: Standing | undefined,
    { state, cause, ejections, outUntilMs, coolUntilMs }: Standing,
  ): void {
    const nowMs = this.#clock.monotonicMs();
    const tell = (kind: StandingChange["kind"], untilMs: number) =>
      this.#onChange({ target, kind, cause, ejections, forMs: Math.max(0, untilMs - nowMs) });
    const isEjected = state === "out" && (earlier?.state !== "out" || ejections > earlier.ejections);
    if (isEjected) tell("ejected", outUntilMs);
    else if (state === "returning" && earlier?.state === "out") tell("returned", nowMs);
    else if (state !== "out" && coolUntilMs > nowMs && !(earlier !== undefined && earlier.coolUntilMs > nowMs)) {
      tell("cooled", coolUntilMs);
    }
  }
}

function isSame(one: Reached, other: Reached): boolean {
  return (
    one.target.model === other.target.model &&
    one.upstream.provider.baseUrl === other.upstream.provider.baseUrl &&
    one.upstream.secret === other.upstream.secret
  );
}

function describeAbsence(standing: Standing, nowMs: number): Pick<AbsentTarget, "state" | "forMs"> | undefined {
  const absence = findAbsence(standing, nowMs);
  if (absence === "out") return { state: "out", forMs: Math.max(standing.outUntilMs, standing.coolUntilMs) - nowMs };
  if (absence === "cooling") return { state: "cooling", forMs: standing.coolUntilMs - nowMs };
  if (isDue(standing, nowMs)) return { state: "due", forMs: 0 };
  const share = getShare(standing, nowMs);
  if (share === 1) return undefined;
  return { state: "returning", forMs: standing.sinceMs + EJECTION.slowStartMs - nowMs };
}
