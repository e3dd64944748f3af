import { expect, it } from "vitest";
import { createPacer } from "./pacer.ts";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

it("createPacer() acts on things in their order, on so many in each turn of the event loop", async () => {
  const done: number[] = [];
  const take = createPacer(2, (thing: number) => done.push(thing));
  const seen: number[][] = [];

  for (let thing = 1; thing <= 5; thing++) take(thing);
  for (let count = 0; count < 3; count++) {
    seen.push([...done]);
    await turn();
  }
  take(6);
  await turn();

  expect(seen).toEqual([[], [1, 2], [1, 2, 3, 4]]);
  expect(done).toEqual([1, 2, 3, 4, 5, 6]);
});
