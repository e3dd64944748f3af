import type { HeadKind } from "./head.ts";

/** So many places the pages of a kind have: a whole set never writes over the one that readers may be reading. */
export const RELEASED_SLOTS = 4;

/** Subject of the ReleasedSet of a region and kind. */
export function toSetSubject(region: string, kind: HeadKind): string {
  return `released.${region}.${kind}`;
}

/** Subject of one of its pages. */
export function toPageSubject(region: string, kind: HeadKind, slot: number, page: number): string {
  return `released.${region}.${kind}.${slot}.${page}`;
}
