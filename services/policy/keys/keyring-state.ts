import { KeyringTree } from "../../shared/snapshot/digest.ts";
import { runAtOnce, type Steps } from "../../shared/snapshot/slices.ts";

/** An entry as a version of the keyring left it. */
export interface KeyringChangeEntry {
  readonly id: string;
  /** The encoded grant; absent when the entry is gone. */
  readonly grant: Uint8Array | undefined;
  readonly version: bigint;
}

/** The keyring at one version. Never changes: the next version is another one that shares what stayed. */
export interface KeyringState {
  /** 0 before the first. */
  readonly version: bigint;
  readonly tree: KeyringTree;
  /** The last changes, by version, at most {@link CHANGE_LIMIT}: what a router that is a little behind needs. */
  readonly recent: readonly KeyringChangeEntry[];
  /** Changes after this version are all in `recent`. */
  readonly recentSince: bigint;
}

/** How many changes are remembered. A router that is further behind gets the whole keyring. */
export const CHANGE_LIMIT = 10_000;

/** The keyring before its first version. */
export const EMPTY_KEYRING: KeyringState = { version: 0n, tree: KeyringTree.EMPTY, recent: [], recentSince: 0n };

/** The keyring after changes, which come by version and lead to `version`. */
export function advanceKeyring(
  state: KeyringState,
  version: bigint,
  changes: readonly KeyringChangeEntry[],
): KeyringState {
  return runAtOnce(advanceKeyringSteps(state, version, changes));
}

/** As {@link advanceKeyring}, in steps: a thousand changes touch most of a keyring, which takes a tenth of a second with 100,000 keys. */
export function* advanceKeyringSteps(
  state: KeyringState,
  version: bigint,
  changes: readonly KeyringChangeEntry[],
): Steps<KeyringState> {
  const present = changes.flatMap(({ id, grant }) => (grant === undefined ? [] : [{ id, grant }]));
  const removed = changes.flatMap(({ id, grant }) => (grant === undefined ? [id] : []));
  const tree = yield* state.tree.applySteps(present, removed);
  const all = [...state.recent, ...changes];
  const dropped = all.length <= CHANGE_LIMIT ? undefined : all[all.length - CHANGE_LIMIT - 1];
  if (dropped === undefined) return { version, tree, recent: all, recentSince: state.recentSince };
  // A version's changes are remembered whole or not at all.
  let from = all.length - CHANGE_LIMIT;
  while (all[from]?.version === dropped.version) from += 1;
  return { version, tree, recent: all.slice(from), recentSince: dropped.version };
}

/**
 * What leads from `base` to the present, each id once with its latest grant; nothing when it is not remembered any more, or
 * `base` is none of ours.
 */
export function findChangesSince(state: KeyringState, base: bigint): readonly KeyringChangeEntry[] | undefined {
  if (base < 1n || base < state.recentSince || base > state.version) return undefined;
  const latest = new Map<string, KeyringChangeEntry>();
  const from = state.recent.findLastIndex((change) => change.version <= base) + 1;
  for (const change of state.recent.slice(from)) latest.set(change.id, change);
  return [...latest.values()];
}
