import { getEventListeners } from "node:events";
import { expect, it } from "vitest";
import { ManualClock } from "./clock.ts";
import { Rest } from "./rest.ts";

/** A rest of a second that has begun. */
async function begin() {
  const [rest, clock, stopping] = [new Rest(), new ManualClock(), new AbortController()];
  let isOver = false;
  const over = rest.take(clock, 1_000, stopping.signal).then(() => {
    isOver = true;
  });
  await clock.whenSleeping();
  return { rest, clock, stopping, over, isOver: () => isOver };
}

it("ends by time", async () => {
  const { clock, over, isOver } = await begin();
  clock.advance(999);
  await Promise.resolve();
  expect(isOver()).toBe(false);

  clock.advance(1);

  await over;
});

it.each(["wake", "abort"] as const)(
  "ends at once by %s, and leaves nothing with a signal that lives on",
  async (how) => {
    const { rest, stopping, over } = await begin();

    if (how === "wake") rest.wake();
    else stopping.abort();

    await over;
    expect(getEventListeners(stopping.signal, "abort")).toEqual([]);
  },
);

it("does not begin when somebody woke during the round before it, and does after one that began since", async () => {
  const [rest, clock] = [new Rest(), new ManualClock()];
  const { signal } = new AbortController();
  rest.beginRound();
  rest.wake();

  await rest.take(clock, 1_000, signal);

  rest.beginRound();
  const over = rest.take(clock, 1_000, signal);
  await clock.whenSleeping();
  clock.advance(1_000);
  await over;
});

it("does not begin once the signal has fired", async () => {
  await new Rest().take(new ManualClock(), 1_000, AbortSignal.abort());
});
