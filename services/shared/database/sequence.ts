/** Missing numbers, both ends included. */
export interface Gap {
  readonly first: bigint;
  readonly last: bigint;
}

/** What has been taken in of a gapless row of numbers that starts at 1: all up to `highest` but the gaps. */
export interface Sequence {
  /** Highest number taken in; 0 when none. */
  readonly highest: bigint;
  /** What is missing below it, disjoint and ascending. */
  readonly gaps: readonly Gap[];
}

/** Nothing taken in yet. */
export const EMPTY_SEQUENCE: Sequence = { highest: 0n, gaps: [] };

/** The highest number at or below which nothing is missing; 0 when 1 is missing. */
export function watermarkOf(sequence: Sequence): bigint {
  const first = sequence.gaps[0];
  return first === undefined ? sequence.highest : first.first - 1n;
}

/** Takes numbers in, in any order, any number of times. Numbers below 1 are not positions and are ignored. */
export function takeIn(sequence: Sequence, numbers: Iterable<bigint>): Sequence {
  let { highest } = sequence;
  let gaps = [...sequence.gaps];
  for (const number of [...numbers].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))) {
    if (number > highest) {
      if (number > highest + 1n) gaps.push({ first: highest + 1n, last: number - 1n });
      highest = number;
    } else if (number >= 1n) {
      gaps = gaps.flatMap((gap) => without(gap, number));
    }
  }
  return { highest, gaps };
}

function without(gap: Gap, number: bigint): Gap[] {
  if (number < gap.first || number > gap.last) return [gap];
  const parts: Gap[] = [];
  if (number > gap.first) parts.push({ first: gap.first, last: number - 1n });
  if (number < gap.last) parts.push({ first: number + 1n, last: gap.last });
  return parts;
}
