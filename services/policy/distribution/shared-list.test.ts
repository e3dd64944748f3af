import { describe, expect, it } from "vitest";
import { SharedList } from "./shared-list.ts";

describe("SharedList", () => {
  it("makes each item once, when the first reader comes to it, however readers take turns", () => {
    const made: number[] = [];
    const list = new SharedList(
      (function* () {
        for (const item of [1, 2, 3]) {
          made.push(item);
          yield item;
        }
      })(),
    );
    const [first, second] = [list[Symbol.iterator](), list[Symbol.iterator]()];

    expect([first.next().value, first.next().value, second.next().value]).toEqual([1, 2, 1]);
    expect(made).toEqual([1, 2]);
    expect([...list]).toEqual([1, 2, 3]);
    expect([...second, ...first]).toEqual([2, 3, 3]);
    expect([...list]).toEqual([1, 2, 3]);
    expect(made).toEqual([1, 2, 3]);
  });
});
