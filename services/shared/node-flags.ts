/**
 * Options of Node with which services are started, before the path of their `main.ts`: how V8 collects garbage. A service works without
 * them too, and takes more CPU then; services/router/README.md has the figures.
 */
export const NODE_FLAGS: readonly string[] = [
  // Buffers stand outside of V8's heap. By default each 64 MiB of them begin a marking of the whole heap, however small that is: with
  // bodies of 35 KB several times a second, for memory that the next collection of young objects frees anyway. With this they count as
  // part of the heap.
  "--external-memory-accounted-in-global-limit",
  // Old memory is collected for the first time when it has so many MiB, and not several times a second while V8 finds out how much a
  // process needs: a busy router keeps some 35 MiB for long, and next to nothing of a request.
  "--initial-heap-size=256",
  // A router has one core: threads that help to collect would only wait for each other.
  "--no-parallel-scavenge",
];

/**
 * Those of policy besides. What it keeps for a thousand routers and a hundred thousand keys survives the collections of young objects, which
 * copy it: with Node's 16 MiB of young objects one of them held the event loop for 25 to 45 ms, with 2 MiB for 3. And the end of a collection
 * of old memory holds it for as long as there is much to sweep: 13 ms with 256 MiB, 11 with 96, and 130 MiB less in all.
 */
export const POLICY_NODE_FLAGS: readonly string[] = [
  ...NODE_FLAGS,
  "--max-semi-space-size=2",
  // Of one that is given twice the last counts.
  "--initial-heap-size=96",
];
