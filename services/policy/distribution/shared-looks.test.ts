import { expect, it } from "vitest";
import { ManualClock } from "../../shared/clock.ts";
import { SharedLooks } from "./shared-looks.ts";

it("looks once for all who ask within the time, and again for who asks later or for something else", async () => {
  const clock = new ManualClock();
  const read: string[] = [];
  const looks = new SharedLooks(clock, 250, async (key: string) => `${key} ${read.push(key)}`);

  const together = await Promise.all(Array.from({ length: 1_000 }, () => looks.look("a")));
  clock.advance(249);
  const soon = await looks.look("a");
  const other = await looks.look("b");
  clock.advance(1);
  const later = await looks.look("a");

  expect([new Set(together), soon, other, later]).toEqual([new Set(["a 1"]), "a 1", "b 2", "a 3"]);
});

it("looks again after a look that failed", async () => {
  const answers = [Promise.reject(new Error("away")), Promise.resolve("there")];
  const looks = new SharedLooks(new ManualClock(), 250, () => answers.shift() as Promise<string>);

  await expect(looks.look("a")).rejects.toThrow("away");

  expect(await looks.look("a")).toBe("there");
});
