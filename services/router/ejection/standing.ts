import { computeScore, createDrawSeed } from "../../shared/decision/draw.ts";
import type { TargetFault } from "../providers/fault.ts";

/** When a target is taken out of rotation, for how long, and how it comes back. Counts are of attempts, times in milliseconds. */
export const EJECTION = {
  /** Faults in a row after which it is out: those that say it is sick, those of them without a connection, and refusals of what an operator set. */
  failures: 5,
  unreachable: 3,
  refusals: 3,
  /** How long it is out for the first time; each further time takes twice as long, up to the longest. */
  sickMs: 5_000,
  longestSickMs: 60_000,
  /** The same after refusals: they pass when an operator has done something. */
  refusedMs: 60_000,
  longestRefusedMs: 900_000,
  /** Part of that time by which it may be shorter, so that routers do not come back all at once. */
  jitter: 0.25,
  /** How long one that has had enough is left alone when it does not say; and the longest that it may say. */
  coolingMs: 1_000,
  longestCoolingMs: 600_000,
  /** How long it takes one that came back to be asked by all; and the share of the calls that ask it at first. */
  slowStartMs: 10_000,
  leastShare: 0.1,
  /** How long it must do well for its earlier ejections to be forgotten. */
  forgetMs: 60_000,
  /**
   * How often one that is out is tried when a call has nowhere else to go; and for how long all such calls try it: after an answer, and
   * after the first of them once its time was over.
   */
  loneMs: 2_000,
} as const;

/**
 * How a target stands at a router, by what its last attempts came to. One that was never at fault has none. Its states:
 *
 * - *good*: asked like any other. Faults in a row are counted; a whole answer of an attempt that began after the first ends the row.
 * - *out*: ejected. Until `outUntilMs` nobody asks it; from then on it is due, and one call at a time does (a probe).
 * - *returning*: a probe got content. A growing share of the calls asks it; one more fault and it is out for longer. After the slow
 *   start it is good.
 *
 * Beside that it may be *cooling* in each of them, until `coolUntilMs`: its provider asked to be left alone, which is no sickness.
 * When the process dies all of it is lost: its successor finds out within a few attempts, and better than it could remember.
 */
export interface Standing {
  readonly state: "good" | "out" | "returning";
  /** When the state began; when good, the first fault of the row. Of the monotonic clock, as all times here. */
  readonly sinceMs: number;
  /** In a row: those that say it is sick, and those at the end of them without a connection. */
  readonly failures: number;
  readonly unreachable: number;
  /** Refusals of what an operator set, in a row. */
  readonly refusals: number;
  readonly outUntilMs: number;
  /** Ejections without having done well for long in between. */
  readonly ejections: number;
  /** When it came back the last time; -Infinity when it never was out. */
  readonly returnedAtMs: number;
  readonly coolUntilMs: number;
  /** What ejected it, or has it cooling, the last time. */
  readonly cause: TargetFault;
  /** When it answered the last time as far as is known: before its first fault it is taken to have done so. */
  readonly answeredAtMs: number;
}

/** When an attempt began, and when what it shows was seen. */
export interface Sighting {
  readonly startedMs: number;
  readonly nowMs: number;
}

/** A fault that an attempt showed. */
export interface SeenFault extends Sighting {
  readonly fault: TargetFault;
  /** When the provider wants to be asked again, if it said. */
  readonly retryAfterMs: number | undefined;
  /** Router and target: what the jitter is drawn from, so that it can be drawn again and differs from router to router. */
  readonly seed: string;
}

/** The standing after a fault. Attempts that began before the target was ejected, or came back, say nothing of how it is now. */
export function noteFault(earlier: Standing | undefined, seen: SeenFault): Standing {
  const { fault, nowMs, startedMs } = seen;
  const standing = settle(earlier ?? createGood(fault, nowMs), nowMs);
  if (fault === "limited" || fault === "overloaded") return cool(standing, seen);
  if (standing.state === "good") return startedMs < standing.returnedAtMs ? standing : count(standing, seen);
  if (startedMs < standing.sinceMs) return standing;
  // Who is out is tried before its time only by calls that have nowhere else to go: they make it no longer.
  if (standing.state === "out" && nowMs < standing.outUntilMs) return standing;
  return eject(standing, seen);
}

/** The standing after the first content of an answer: enough for a probe, and not for the end of a row, since it may still be cut. */
export function noteContent(standing: Standing, { startedMs, nowMs }: Sighting): Standing {
  if (startedMs < standing.sinceMs) return standing;
  if (standing.state !== "out") return { ...standing, answeredAtMs: nowMs };
  return { ...standing, state: "returning", sinceMs: nowMs, returnedAtMs: nowMs, answeredAtMs: nowMs };
}

/** The standing after a whole answer; undefined when there is nothing left to remember. */
export function noteAnswer(earlier: Standing, sighting: Sighting): Standing | undefined {
  const { startedMs, nowMs } = sighting;
  const standing = settle(noteContent(earlier, sighting), nowMs);
  if (standing.state !== "good" || startedMs < standing.sinceMs) return standing;
  if (standing.ejections === 0 && standing.coolUntilMs <= nowMs) return undefined;
  return { ...standing, failures: 0, unreachable: 0, refusals: 0 };
}

/** Why a target is not asked now: it is left alone for a while, or it is out. Undefined when it may be, be it as a probe. */
export function findAbsence(
  { state, outUntilMs, coolUntilMs }: Standing,
  nowMs: number,
): "cooling" | "out" | undefined {
  if (state === "out" && nowMs < outUntilMs) return "out";
  return nowMs < coolUntilMs ? "cooling" : undefined;
}

/** Whether one call, and no other, may ask it to see how it is. */
export function isDue(standing: Standing, nowMs: number): boolean {
  return standing.state === "out" && findAbsence(standing, nowMs) === undefined;
}

/** The share of the calls that ask a target like any other, from 0 to 1; the others do when they have nothing better. */
export function getShare({ state, sinceMs }: Standing, nowMs: number): number {
  if (state !== "returning") return 1;
  return Math.min(1, Math.max(EJECTION.leastShare, (nowMs - sinceMs) / EJECTION.slowStartMs));
}

/** When others asked a target while it was out. */
export interface Tries {
  /** The last time. */
  readonly lastMs: number;
  /** The first time since it became due; before that, anything earlier. */
  readonly dueMs: number;
}

/** When a call that has nowhere else to go may ask a target that is out or due: `nowMs` for at once. */
export function findLoneTryMs(standing: Standing, { lastMs, dueMs }: Tries, nowMs: number): number {
  const { sinceMs, answeredAtMs, outUntilMs, coolUntilMs } = standing;
  const isOver = nowMs >= outUntilMs;
  // While it answers some, or nobody can know yet that it does not, asking it is better than to refuse all.
  const isOpen =
    nowMs < answeredAtMs + EJECTION.loneMs || (isOver && (dueMs < outUntilMs || nowMs < dueMs + EJECTION.loneMs));
  return Math.max(isOpen ? nowMs : Math.max(sinceMs, lastMs) + EJECTION.loneMs, coolUntilMs);
}

function createGood(cause: TargetFault, nowMs: number): Standing {
  return {
    state: "good",
    sinceMs: nowMs,
    failures: 0,
    unreachable: 0,
    refusals: 0,
    outUntilMs: Number.NEGATIVE_INFINITY,
    ejections: 0,
    returnedAtMs: Number.NEGATIVE_INFINITY,
    coolUntilMs: Number.NEGATIVE_INFINITY,
    cause,
    answeredAtMs: nowMs,
  };
}

/** What time alone has brought about: the end of a slow start, and forgetting. */
function settle(standing: Standing, nowMs: number): Standing {
  const { sinceMs, ejections, returnedAtMs } = standing;
  const isBack = standing.state === "returning" && nowMs >= sinceMs + EJECTION.slowStartMs;
  const state = isBack ? "good" : standing.state;
  if (state === "good" && ejections > 0 && nowMs >= returnedAtMs + EJECTION.forgetMs) {
    return { ...standing, state, ejections: 0 };
  }
  return isBack ? { ...standing, state } : standing;
}

function cool(standing: Standing, { fault, retryAfterMs = EJECTION.coolingMs, nowMs }: SeenFault): Standing {
  const coolUntilMs = nowMs + Math.min(retryAfterMs, EJECTION.longestCoolingMs);
  if (coolUntilMs <= standing.coolUntilMs) return standing;
  return standing.state === "out" ? { ...standing, coolUntilMs } : { ...standing, coolUntilMs, cause: fault };
}

function count(standing: Standing, seen: SeenFault): Standing {
  const { fault, nowMs } = seen;
  const isRefusal = isRefused(fault);
  const counted: Standing = {
    ...standing,
    sinceMs: standing.failures + standing.refusals === 0 ? nowMs : standing.sinceMs,
    failures: standing.failures + (isRefusal ? 0 : 1),
    unreachable: fault === "unreachable" ? standing.unreachable + 1 : 0,
    refusals: standing.refusals + (isRefusal ? 1 : 0),
  };
  const isOver =
    counted.failures >= EJECTION.failures ||
    counted.unreachable >= EJECTION.unreachable ||
    counted.refusals >= EJECTION.refusals;
  return isOver ? eject(counted, seen) : counted;
}

function eject(standing: Standing, { fault, nowMs, seed }: SeenFault): Standing {
  const ejections = standing.ejections + 1;
  const [firstMs, longestMs] = isRefused(fault)
    ? [EJECTION.refusedMs, EJECTION.longestRefusedMs]
    : [EJECTION.sickMs, EJECTION.longestSickMs];
  const wholeMs = Math.min(firstMs * 2 ** Math.min(ejections - 1, 10), longestMs);
  const outMs = Math.ceil(wholeMs * (1 - EJECTION.jitter * draw(`${seed} ${ejections}`)));
  return {
    ...standing,
    state: "out",
    sinceMs: nowMs,
    failures: 0,
    unreachable: 0,
    refusals: 0,
    outUntilMs: Math.max(standing.outUntilMs, nowMs + outMs),
    ejections,
    cause: fault,
  };
}

function isRefused(fault: TargetFault): boolean {
  return fault === "credential" || fault === "quota" || fault === "model";
}

const NOBODY = createDrawSeed("");

/** A number from 0 to 1, the same for the same text. */
function draw(text: string): number {
  return Math.exp(computeScore(createDrawSeed(text), NOBODY, 1));
}
