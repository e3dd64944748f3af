import { setImmediate } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { createTurns } from "./turns.ts";

describe("createTurns()", () => {
  it("runs acts one after the other, in the order in which they were asked for", async () => {
    const inTurn = createTurns();
    const seen: string[] = [];
    const act = (name: string) => async () => {
      seen.push(`${name} begins`);
      await setImmediate();
      seen.push(`${name} ends`);
    };

    await Promise.all([inTurn(act("a")), inTurn(act("b"))]);

    expect(seen).toEqual(["a begins", "a ends", "b begins", "b ends"]);
  });

  it("hands on what an act returns or throws, and goes on after a failure", async () => {
    const inTurn = createTurns();

    const failing = inTurn(async () => {
      throw new Error("broken");
    });
    const following = inTurn(async () => "fine");

    await expect(failing).rejects.toThrow("broken");
    expect(await following).toBe("fine");
  });
});
