import { FIGURES, type FigureName } from "../figures.ts";
import type { Segment } from "./run-result.ts";
import { type Spread, toSpread } from "./statistics.ts";

/** What ratios are to. */
const YARDSTICK = "relay";
/** What added times are on top of. */
const BASE = "direct";
/** A figure of a contender in a scenario, over all rounds. */
export function getSpread(
  segments: readonly Segment[],
  scenario: string,
  contender: string,
  figure: FigureName,
): Spread | undefined {
  return toSpread(select(segments, scenario, contender).map(({ figures }) => figures[figure]));
}

/** A figure against that of another contender of the same scenario in the same round: divided by it, or less it. */
export function getPaired(
  segments: readonly Segment[],
  how: "ratio" | "added",
  scenario: string,
  contender: string,
  other: string,
  figure: FigureName,
): Spread | undefined {
  const others = new Map(select(segments, scenario, other).map(({ round, figures }) => [round, figures[figure]]));
  return toSpread(
    select(segments, scenario, contender).map(({ round, figures }) => {
      const [own, theirs] = [figures[figure], others.get(round)];
      if (own === undefined || theirs === undefined) return undefined;
      return how === "ratio" ? own / theirs : own - theirs;
    }),
  );
}

/** A figure as {@link FIGURES} says that it is compared; undefined when it is not, or when there is nothing to compare with. */
export function getCompared(
  segments: readonly Segment[],
  scenario: string,
  contender: string,
  figure: FigureName,
): Spread | undefined {
  const { compared } = FIGURES[figure];
  if (compared === "none") return undefined;
  return getPaired(segments, compared, scenario, contender, compared === "ratio" ? YARDSTICK : BASE, figure);
}

/**
 * How far two that are the same lay apart, over all rounds: the most of |ratio - 1|, or of |difference|. What differs by less is a tie.
 * The two are what the figure is compared with, or `one`, and its twin "…-again". Undefined when no twin ran.
 */
export function getNoiseFloor(
  segments: readonly Segment[],
  scenario: string,
  figure: FigureName,
  one: string = FIGURES[figure].compared === "ratio" ? YARDSTICK : BASE,
): number | undefined {
  const { compared } = FIGURES[figure];
  if (compared === "none") return undefined;
  const spread = getPaired(segments, compared, scenario, `${one}-again`, one, figure);
  if (spread === undefined) return undefined;
  const middle = compared === "ratio" ? 1 : 0;
  return Math.max(Math.abs(spread.min - middle), Math.abs(spread.max - middle));
}

/** Whether a compared figure lies within the noise. */
export function isTie(compared: Spread, floor: number | undefined, figure: FigureName): boolean {
  if (floor === undefined) return false;
  return Math.abs(compared.median - (FIGURES[figure].compared === "ratio" ? 1 : 0)) <= floor;
}

function select(segments: readonly Segment[], scenario: string, contender: string): Segment[] {
  return segments.filter((segment) => segment.scenario === scenario && segment.contender === contender);
}
