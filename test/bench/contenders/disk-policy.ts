import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { HOST } from "../../../cli/up/layout.ts";
import { writeSecretFile } from "../../../cli/up/secret-file.ts";
import { Dialect, LimitPer } from "../../../gen/weir/policy/v1/policy_pb.ts";
import { KeyringGrantSchema, SnapshotSchema } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { Meter } from "../../../gen/weir/type/v1/usage_pb.ts";
import { createKey } from "../../../services/shared/key/key.ts";
import { generateNoteKey, parseSignerKey, signNote } from "../../../services/shared/note/note.ts";
import type { DigestedEntry } from "../../../services/shared/snapshot/bucket.ts";
import { KeyringTree, snapshotDigest } from "../../../services/shared/snapshot/digest.ts";
import { encodeEntries, encodeFile } from "../../../services/shared/snapshot/file.ts";
import { encodeHead, type HeadKind } from "../../../services/shared/snapshot/head.ts";
import type { Setup } from "../setup.ts";
import { createRules } from "./bench-rules.ts";
import type { DiskRouterOptions } from "./disk-router.ts";
import { MESSAGES_MODEL } from "./weir-surfaces.ts";

/** As many keys as requests take turns with at most. */
const ROTATED = 10_000;
/** High enough never to be reached. */
const CALLS_A_MINUTE = 100_000_000;

/** A version of a snapshot, as policy would send it. */
export interface SignedSnapshot {
  readonly version: bigint;
  readonly content: Uint8Array;
  /** Its signed head. */
  readonly note: Uint8Array;
}

/** What a router from disk runs under. */
export interface DiskPolicy {
  /** The first 10,000 keys. */
  readonly keys: string[];
  /** The router's settings. */
  readonly environment: Record<string, string>;
  /** Signs a further version with the same content. */
  readonly signSnapshot: (version: bigint) => SignedSnapshot;
}

/** Writes what a router needs to start by itself: version 1 of a snapshot and of a keyring, and the keys to trust. */
export function writeDiskPolicy(
  folder: string,
  setup: { readonly provider: Pick<Setup["provider"], "port"> },
  {
    keys = 10,
    models = 10,
    rules = 0,
    hasLimit = true,
  }: Pick<DiskRouterOptions, "keys" | "models" | "rules" | "hasLimit">,
): DiskPolicy {
  const pair = generateNoteKey("weir.bench/policy");
  const signer = parseSignerKey(pair.signerKey);
  const snapshots = join(folder, "state/snapshots");
  const credentials = join(folder, "credentials");
  for (const path of [snapshots, credentials]) mkdirSync(path, { recursive: true, mode: 0o700 });
  writeSecretFile(join(credentials, "bench"), "provider-wants-no-secret");
  writeFileSync(join(folder, "trust.txt"), `${pair.verifierKey}\n`);

  const sign = (kind: HeadKind, version: bigint, digest: Uint8Array) => {
    const features = kind === "snapshot" && rules > 0 ? ["rules"] : [];
    return signNote(encodeHead({ kind, region: "eu", version, digest, features, issuedAt: new Date() }), signer);
  };
  const write = (kind: HeadKind, note: Uint8Array, content: Uint8Array) =>
    writeFileSync(join(snapshots, `${kind}-${"1".padStart(19, "0")}.weir`), encodeFile({ kind, note, content }));
  const signSnapshot = (version: bigint): SignedSnapshot => {
    const baseUrl = `http://${HOST}:${setup.provider.port}/v1`;
    const content = createSnapshot(version, { baseUrl, models, rules, hasLimit });
    return { version, content, note: sign("snapshot", version, snapshotDigest(content)) };
  };
  const { note, content } = signSnapshot(1n);
  write("snapshot", note, content);
  const made = Array.from({ length: keys }, () => createKey("production"));
  const tree = KeyringTree.EMPTY.apply(made.map(({ keyId, sha256 }) => toEntry(keyId, sha256)));
  write("keyring", sign("keyring", 1n, tree.digest()), encodeEntries(tree.entries()));

  // Nothing listens there: the router tries again with back-off, as in a region that is cut off.
  const nobody = `${HOST}:1`;
  return {
    keys: made.slice(0, ROTATED).map(({ text }) => text),
    environment: {
      WEIR_REGION: "eu",
      WEIR_ROUTER: "eu-bench",
      WEIR_POLICY_ADDRESS: nobody,
      WEIR_METERING_ADDRESS: nobody,
      WEIR_AUDIT_ADDRESS: nobody,
      WEIR_NATS_URL: `nats://${nobody}`,
      WEIR_AUDIT_NATS_URL: `nats://${nobody}`,
      WEIR_STATE: join(folder, "state"),
      WEIR_TRUST: join(folder, "trust.txt"),
      WEIR_CREDENTIALS: credentials,
      WEIR_SPOOL_LIMIT: "64GiB",
    },
    signSnapshot,
  };
}

/** A snapshot of region "eu" with this many models, each with a target of its own; a limit is counted for each key. */
function createSnapshot(
  version: bigint,
  { baseUrl, models, rules, hasLimit }: { baseUrl: string; models: number; rules: number; hasLimit: boolean },
): Uint8Array {
  const seconds = (count: number) => ({ seconds: BigInt(count) });
  const others = Array.from({ length: models - 2 }, (_, index) => `model-${index + 1}`);
  const ids = ["small", MESSAGES_MODEL, ...others];
  return toBinary(
    SnapshotSchema,
    create(SnapshotSchema, {
      region: "eu",
      version,
      policyVersion: version,
      organisation: "demo",
      providers: [
        { id: "bench", dialect: Dialect.OPENAI },
        { id: "bench-messages", dialect: Dialect.ANTHROPIC },
      ].map((provider) => ({
        ...provider,
        baseUrl,
        credential: "bench",
        connectTimeout: seconds(5),
        firstTokenTimeout: seconds(60),
        idleTimeout: seconds(60),
        totalTimeout: seconds(600),
      })),
      targets: ids.map((id) => ({
        id: `bench/${id}`,
        provider: id === MESSAGES_MODEL ? "bench-messages" : "bench",
        model: `bench-${id}`,
        prices: [
          { meter: Meter.INPUT_TOKENS, nanosPerMillion: 150_000_000n },
          { meter: Meter.OUTPUT_TOKENS, nanosPerMillion: 600_000_000n },
        ],
        maxOutputTokens: 16_384n,
      })),
      models: ids.map((id) => ({ id, routes: [{ target: `bench/${id}`, weight: 1 }] })),
      limits: hasLimit ? [{ id: "each-key", per: LimitPer.KEY, requestsPerMinute: CALLS_A_MINUTE }] : [],
      rules: createRules(rules),
    }),
  );
}

function toEntry(keyId: string, sha256: Uint8Array): DigestedEntry {
  const value = {
    keyId,
    secretSha256s: [sha256],
    organisation: "demo",
    team: "search",
    app: "assistant",
    environment: "production",
    models: ["*"],
  };
  return {
    id: keyId,
    grant: toBinary(KeyringGrantSchema, create(KeyringGrantSchema, { entry: { case: "key", value } })),
  };
}
