import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Listed, OpenList } from "./open-list.ts";

interface Item extends Listed {
  readonly id: number;
}

describe("OpenList", () => {
  it("holds what a Set would hold, in the same order, whatever comes and goes", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(9)), { maxLength: 100 }), (steps) => {
        const items: Item[] = Array.from({ length: 10 }, (_, id) => ({ id }));
        const list = new OpenList<Item>();
        const model = new Set<Item>();
        for (const [comes, index] of steps) {
          const item = items[index]!;
          if (comes) {
            list.add(item);
            model.add(item);
          } else {
            expect(list.remove(item)).toBe(model.delete(item));
          }
          expect(list.size).toBe(model.size);
          expect(list.first).toBe([...model][0]);
        }
        expect(list.list().map(({ id }) => id)).toEqual([...model].map(({ id }) => id));
        expect(list.list(({ id }) => id > 4)).toEqual([...model].filter(({ id }) => id > 4));
      }),
    );
  });

  it("ties what has left to nothing", () => {
    const list = new OpenList<Item>();
    const items: Item[] = [{ id: 1 }, { id: 2 }, { id: 3 }];
    for (const item of items) list.add(item);
    list.remove(items[1]!);
    expect(items[1]).toEqual({ id: 2, before: undefined, after: undefined });
    expect(list.list()).toEqual([items[0], items[2]]);
  });
});
