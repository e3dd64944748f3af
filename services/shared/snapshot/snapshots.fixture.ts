/** Signed snapshots and keyrings for tests. */
import { create, type Message, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { Dialect } from "../../../gen/weir/policy/v1/policy_pb.ts";
import { type KeyGrantSchema, KeyringGrantSchema, SnapshotSchema } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { Meter } from "../../../gen/weir/type/v1/usage_pb.ts";
import { hashKey } from "../key/key.ts";
import { generateNoteKey, type NoteSigner, parseSignerKey, parseVerifierKey, signNote } from "../note/note.ts";
import type { DigestedEntry } from "./bucket.ts";
import { KeyringTree, snapshotDigest } from "./digest.ts";
import { encodeHead, type SnapshotHead } from "./head.ts";

const pair = generateNoteKey("weir.local/policy");
/** Signs the samples. */
export const SAMPLE_SIGNER: NoteSigner = parseSignerKey(pair.signerKey);
/** Trusts the samples' signer. */
export const SAMPLE_TRUST = [parseVerifierKey(pair.verifierKey)];

/** Signs a head of region "eu". */
export function sampleNote(
  head: Pick<SnapshotHead, "kind" | "version" | "digest"> & Partial<SnapshotHead>,
  signer = SAMPLE_SIGNER,
): Uint8Array {
  return signNote(encodeHead({ region: "eu", features: [], issuedAt: new Date(0), ...head }), signer);
}

const timeout = { seconds: 5n };

/** A snapshot of region "eu" with one model, "small". */
export function sampleSnapshot(
  version: bigint,
  changes: MessageInitShape<typeof SnapshotSchema> = {},
): { note: Uint8Array; content: Uint8Array } {
  const snapshot = create(SnapshotSchema, {
    region: "eu",
    version,
    policyVersion: version,
    organisation: "acme",
    providers: [
      {
        id: "openai-eu",
        dialect: Dialect.OPENAI,
        baseUrl: "https://provider.example/v1",
        connectTimeout: timeout,
        firstTokenTimeout: timeout,
        idleTimeout: timeout,
        totalTimeout: timeout,
      },
    ],
    targets: [
      {
        id: "openai-eu/small",
        provider: "openai-eu",
        model: "gpt-5-mini",
        prices: [{ meter: Meter.INPUT_TOKENS, nanosPerMillion: 1_000n }],
        maxOutputTokens: 1_000n,
      },
    ],
    models: [{ id: "small", routes: [{ target: "openai-eu/small" }] }],
    ...changes,
  });
  const content = toBinary(SnapshotSchema, snapshot);
  return { note: sampleNote({ kind: "snapshot", version, digest: snapshotDigest(content) }), content };
}

/** The entry of a key of "acme/search/answers". */
export function sampleKeyEntry(
  keyId: string,
  text = keyId,
  changes: Partial<Exclude<MessageInitShape<typeof KeyGrantSchema>, Message>> = {},
): DigestedEntry {
  const key = {
    keyId,
    secretSha256s: changes.revokedAt === undefined ? [hashKey(text)] : [],
    organisation: "acme",
    team: "search",
    app: "answers",
    environment: "production",
    models: ["*"],
    ...changes,
  };
  const grant = create(KeyringGrantSchema, { entry: { case: "key", value: key } });
  return { id: keyId, grant: toBinary(KeyringGrantSchema, grant) };
}

/** The entry that disables a tenant. */
export function sampleTenantEntry(tenant: string): DigestedEntry {
  const grant = create(KeyringGrantSchema, { entry: { case: "disabledTenant", value: { tenant } } });
  return { id: `tenant:${tenant}`, grant: toBinary(KeyringGrantSchema, grant) };
}

/** A keyring of these entries. */
export function sampleKeyring(
  version: bigint,
  entries: readonly DigestedEntry[] = [sampleKeyEntry("abcdefghijkl")],
): { note: Uint8Array; tree: KeyringTree } {
  const tree = KeyringTree.EMPTY.apply(entries);
  return { note: sampleNote({ kind: "keyring", version, digest: tree.digest() }), tree };
}
