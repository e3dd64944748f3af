import type { PoolClient } from "../../shared/database/pool.ts";
import type { NoteSigner } from "../../shared/note/note.ts";
import { runInSlices } from "../../shared/snapshot/slices.ts";
import { advanceKeyringSteps, type KeyringState } from "../keys/keyring-state.ts";
import { isSignedBy, signHead } from "../keys/sign-head.ts";
import { findLatestKeyring, insertKeyring, insertKeyringHeads, listKeyringHeads } from "../store/keyrings.ts";
import { readKeyring } from "./catalogue.ts";

/** What a new version of the keyring is made of. */
export interface MintOptions {
  /** The keyring as far as this instance knows it; what is missing is read. */
  readonly known: KeyringState;
  /** Entries that are new, different, or gone (without a grant). */
  readonly changes: readonly { readonly id: string; readonly grant: Uint8Array | undefined }[];
  /** Every region that gets it. */
  readonly regions: readonly string[];
  readonly signer: NoteSigner;
  readonly at: Date;
}

/** A version of the keyring that was stored. */
export interface MintedKeyring {
  readonly version: bigint;
  readonly digest: Uint8Array;
}

/**
 * Stores the next version of the keyring with a signed head for each region. Call it inside a change, whose lock makes versions
 * rise one by one.
 */
export async function mintKeyring(client: PoolClient, options: MintOptions): Promise<MintedKeyring> {
  const { known, changes, regions, signer, at } = options;
  const before = await readKeyring(client, known);
  const version = before.version + 1n;
  const changed = changes.map((change) => ({ ...change, version }));
  const after = await runInSlices(advanceKeyringSteps(before, version, changed));
  const digest = after.tree.digest();
  await insertKeyring(client, { version, digest, createdAt: at }, changes);
  await signKeyring(client, { version, digest, at }, regions, signer);
  return { version, digest };
}

/**
 * Makes sure that each region has a head of the latest keyring by our own key: makes an empty first keyring when there is none,
 * and a next version with the same entries when another key signed the latest, so that keys can be rotated.
 */
export async function extendKeyring(client: PoolClient, options: Omit<MintOptions, "changes">): Promise<void> {
  const { regions, signer } = options;
  const latest = await findLatestKeyring(client);
  const heads = latest === undefined ? [] : await listKeyringHeads(client, latest.version);
  if (latest === undefined || heads.some(({ head }) => !isSignedBy(head, signer))) {
    await mintKeyring(client, { ...options, changes: [] });
  } else {
    await signKeyring(client, { ...latest, at: latest.createdAt }, regions, signer);
  }
}

async function signKeyring(
  client: PoolClient,
  { version, digest, at }: MintedKeyring & { readonly at: Date },
  regions: readonly string[],
  signer: NoteSigner,
): Promise<void> {
  const heads = regions.map((region) => ({
    region,
    version,
    head: signHead({ kind: "keyring", region, version, digest, features: [], issuedAt: at }, signer),
  }));
  await insertKeyringHeads(client, heads);
}
