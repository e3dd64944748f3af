import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { KeyringTree } from "../../shared/snapshot/digest.ts";
import { advanceKeyring, CHANGE_LIMIT, EMPTY_KEYRING, findChangesSince, type KeyringState } from "./keyring-state.ts";

const change = fc.record({
  id: fc.constantFrom("a", "b", "c", "d", "e"),
  grant: fc.option(fc.uint8Array({ minLength: 1, maxLength: 4 }), { nil: undefined }),
});
const history = fc.array(fc.uniqueArray(change, { selector: ({ id }) => id, maxLength: 3 }), { maxLength: 12 });

function run(versions: { id: string; grant: Uint8Array | undefined }[][]): KeyringState[] {
  const states = [EMPTY_KEYRING];
  versions.forEach((changes, index) => {
    const version = BigInt(index + 1);
    const before = states.at(-1) as KeyringState;
    states.push(
      advanceKeyring(
        before,
        version,
        changes.map((each) => ({ ...each, version })),
      ),
    );
  });
  return states;
}

describe("findChangesSince()", () => {
  it("leads from every version to the latest, with the same digest as the whole", () => {
    fc.assert(
      fc.property(history, (versions) => {
        const states = run(versions);
        const latest = states.at(-1) as KeyringState;
        for (const base of states.slice(1)) {
          const changes = findChangesSince(latest, base.version);
          const present = changes!.flatMap(({ id, grant }) => (grant === undefined ? [] : [{ id, grant }]));
          const removed = changes!.flatMap(({ id, grant }) => (grant === undefined ? [id] : []));
          expect(base.tree.apply(present, removed).digest()).toEqual(latest.tree.digest());
          expect(KeyringTree.EMPTY.apply(latest.tree.entries()).digest()).toEqual(latest.tree.digest());
        }
      }),
    );
  });

  it("finds nothing for a base that is not remembered or none of ours", () => {
    const many = Array.from({ length: CHANGE_LIMIT + 5 }, (_, index) => ({
      id: `k${index}`,
      grant: new Uint8Array([1]),
      version: BigInt(Math.floor(index / 10) + 1),
    }));
    const state = advanceKeyring(EMPTY_KEYRING, many.at(-1)!.version, many);

    expect(findChangesSince(state, 0n)).toBeUndefined();
    expect(findChangesSince(state, state.version + 1n)).toBeUndefined();
    // The first version is remembered in part only, so it is not remembered.
    expect(state.recentSince).toBe(1n);
    expect(findChangesSince(state, 1n)?.length).toBe(many.length - 10);
  });

  it("forgets what is older than its limit", () => {
    const entry = (version: bigint) => ({ id: `k${version}`, grant: new Uint8Array([1]), version });
    let state = EMPTY_KEYRING;
    const all = Array.from({ length: CHANGE_LIMIT }, (_, index) => entry(BigInt(index + 1)));
    state = advanceKeyring(state, BigInt(CHANGE_LIMIT), all);
    state = advanceKeyring(state, BigInt(CHANGE_LIMIT + 1), [entry(BigInt(CHANGE_LIMIT + 1))]);

    expect(state.recent).toHaveLength(CHANGE_LIMIT);
    expect(findChangesSince(state, 1n)).toHaveLength(CHANGE_LIMIT);
  });
});
