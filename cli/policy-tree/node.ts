import type { Place } from "./place.ts";

/** A value of a document, with the place where it stands. What an alias means is the node that it names, at that one's place. */
export type Node = MapNode | ListNode | ScalarNode;

/** Names with values, in the order of the document. A name may be there twice when two files gave it. */
export interface MapNode {
  readonly kind: "map";
  readonly place: Place;
  readonly entries: readonly Entry[];
}

/** A name with its value. */
export interface Entry {
  readonly name: string;
  /** Where the name stands. */
  readonly place: Place;
  readonly value: Node;
}

/** Values in order. */
export interface ListNode {
  readonly kind: "list";
  readonly place: Place;
  readonly items: readonly Node[];
}

/** Text, a number, true, false, or nothing (null). */
export interface ScalarNode {
  readonly kind: "scalar";
  readonly place: Place;
  readonly value: string | number | boolean | null;
}
