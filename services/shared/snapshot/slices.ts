/** Work that can be put down after each step, so that the event loop serves others meanwhile. Its result is what it returns. */
export type Steps<T> = Generator<undefined, T, undefined>;

/** How long a slice of work may hold the event loop, milliseconds; a step begun within it is finished. */
const SLICE_MS = 1;

/** Does the work in one go: for little of it, and where nobody waits. */
export function runAtOnce<T>(steps: Steps<T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}

/** What a function makes of each item, in steps of one item. */
export function* mapInSteps<Item, Result>(
  items: readonly Item[],
  map: (item: Item, index: number) => Result,
): Steps<Result[]> {
  const results: Result[] = [];
  for (const [index, item] of items.entries()) {
    results.push(map(item, index));
    yield;
  }
  return results;
}

/** Does the work in slices of a millisecond, with a turn of the event loop between them. Rejects with what the work throws. */
export async function runInSlices<T>(steps: Steps<T>): Promise<T> {
  let untilMs = performance.now() + SLICE_MS;
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
    if (performance.now() < untilMs) continue;
    await new Promise((resolve) => setImmediate(resolve));
    untilMs = performance.now() + SLICE_MS;
  }
}
