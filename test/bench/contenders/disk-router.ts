import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { HOST } from "../../../cli/up/layout.ts";
import { writeSecretFile } from "../../../cli/up/secret-file.ts";
import { Dialect, LimitPer } from "../../../gen/weir/policy/v1/policy_pb.ts";
import { KeyringGrantSchema, SnapshotSchema } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { Meter } from "../../../gen/weir/type/v1/usage_pb.ts";
import { createKey } from "../../../services/shared/key/key.ts";
import { NODE_FLAGS } from "../../../services/shared/node-flags.ts";
import { generateNoteKey, parseSignerKey, signNote } from "../../../services/shared/note/note.ts";
import { type DigestedEntry, KeyringTree, snapshotDigest } from "../../../services/shared/snapshot/digest.ts";
import { encodeEntries, encodeFile } from "../../../services/shared/snapshot/file.ts";
import { encodeHead, type HeadKind } from "../../../services/shared/snapshot/head.ts";
import { accepts, CORES, nodeArguments, type Program, ROOT, type Setup, startProgram } from "../setup.ts";
import type { Contender, RunningContender } from "./contender.ts";
import { MESSAGES_MODEL, WEIR_SURFACES } from "./weir-surfaces.ts";

/** What a router from disk is started with. */
export interface DiskRouterOptions {
  readonly name: string;
  readonly about: string;
  /** Keys in its keyring; requests take turns with up to 10,000 of them. Default 10. */
  readonly keys?: number;
  /** Models in its snapshot, at least 2: "small", and one of a provider of messages. Default 10. */
  readonly models?: number;
  /** Whether a limit is counted for each key. Default true. */
  readonly hasLimit?: boolean;
  /** Routers that share the port, all on the gateway's core. Default one, which does not. */
  readonly routers?: number;
}

/** As many keys as requests take turns with at most. */
const ROTATED = 10_000;
/** High enough never to be reached. */
const CALLS_A_MINUTE = 100_000_000;

/**
 * A router as the mesh runs it, but alone: it starts from a snapshot and a keyring on disk that the bench signed, and finds neither policy,
 * NATS, metering nor audit, so that its facts stay in its spool. For growth runs, and for a first look without a mesh.
 */
export function createDiskRouter(options: DiskRouterOptions): Contender {
  const { name, about } = options;
  return {
    name,
    about,
    start: async (setup) => {
      const { routers = 0 } = options;
      const folder = join(setup.folder, name);
      const { keys, environment } = writeDiskPolicy(folder, setup, options);
      const rotateFile = join(folder, "authorizations");
      writeFileSync(rotateFile, keys.map((key) => `Bearer ${key}\n`).join(""));
      const common = { headers: [`authorization: Bearer ${keys[0]}`], rotateFile };
      if (routers === 0) return await startRouter(setup, { ...common, name, environment });
      const port = setup.takePort();
      const started: RunningContender[] = [];
      for (let number = 1; number <= routers; number++) {
        const state = join(folder, `state-${number}`);
        cpSync(join(folder, "state"), state, { recursive: true });
        const own = { WEIR_STATE: state, WEIR_ROUTER: `eu-${number}`, WEIR_REUSE_PORT: "true" };
        const router = { ...common, name: `${name}-${number}`, environment: { ...environment, ...own } };
        started.push(await startRouter(setup, { ...router, sharedPort: port }));
      }
      const programs = started.map(({ program }) => program as Program);
      return { ...(started[0] as RunningContender), name, program: toOneProgram(name, port, programs) };
    },
  };
}

/** Several programs as one. */
function toOneProgram(name: string, port: number, programs: readonly Program[]): Program {
  return {
    name,
    port,
    pids: () => programs.flatMap((program) => program.pids()),
    restart: async () => {
      let startMs = 0;
      for (const program of programs) startMs += await program.restart();
      return startMs;
    },
    stop: async () => {
      for (const program of programs) await program.stop();
    },
    takeLoopDelay: () => (programs[0] as Program).takeLoopDelay(),
  };
}

/** Starts the router's own program with these settings, on the gateway's core. */
export async function startRouter(
  setup: Setup,
  options: Pick<RunningContender, "name" | "headers" | "rotateFile"> & {
    readonly environment: Readonly<Record<string, string>>;
    /** Others listen there too. Default: a port of its own. */
    readonly sharedPort?: number;
  },
): Promise<RunningContender & { readonly adminPort: number }> {
  const { name, environment, headers, rotateFile, sharedPort } = options;
  const port = sharedPort ?? setup.takePort();
  const adminPort = setup.takePort();
  const program = await startProgram(setup, {
    name,
    core: CORES.gateway,
    port,
    ...nodeArguments(...NODE_FLAGS, join(ROOT, "services/router/main.ts")),
    ...(sharedPort !== undefined && { sharesPort: true }),
    environment: {
      ...environment,
      WEIR_LISTEN: `${HOST}:${port}`,
      WEIR_ADMIN_LISTEN: `${HOST}:${adminPort}`,
      WEIR_DRAIN_TIMEOUT: "2s",
      // As deploy/README.md has it: what Node compiled at one start is there at the next.
      NODE_COMPILE_CACHE: join(setup.folder, "compile-cache"),
    },
    isReady: async () => (await accepts(port)) && (await fetch(`http://${HOST}:${adminPort}/readyz`)).ok,
  });
  const surfaces = WEIR_SURFACES;
  const rotated = rotateFile === undefined ? {} : { rotateFile };
  return { name, program, port, adminPort, headers, servesGrpc: true, surfaces, ...rotated };
}

/** Writes what a router needs to start by itself, and returns its settings and its keys. */
export function writeDiskPolicy(
  folder: string,
  setup: Setup,
  { keys = 10, models = 10, hasLimit = true }: Pick<DiskRouterOptions, "keys" | "models" | "hasLimit">,
): { keys: string[]; environment: Record<string, string> } {
  const pair = generateNoteKey("weir.bench/policy");
  const signer = parseSignerKey(pair.signerKey);
  const snapshots = join(folder, "state/snapshots");
  const credentials = join(folder, "credentials");
  for (const path of [snapshots, credentials]) mkdirSync(path, { recursive: true, mode: 0o700 });
  writeSecretFile(join(credentials, "bench"), "provider-wants-no-secret");
  writeFileSync(join(folder, "trust.txt"), `${pair.verifierKey}\n`);

  const write = (kind: HeadKind, digest: Uint8Array, content: Uint8Array) => {
    const head = encodeHead({ kind, region: "eu", version: 1n, digest, features: [], issuedAt: new Date() });
    writeFileSync(
      join(snapshots, `${kind}-${"1".padStart(19, "0")}.weir`),
      encodeFile({ kind, note: signNote(head, signer), content }),
    );
  };
  const snapshot = createSnapshot(`http://${HOST}:${setup.provider.port}/v1`, models, hasLimit);
  write("snapshot", snapshotDigest(snapshot), snapshot);
  const made = Array.from({ length: keys }, () => createKey("production"));
  const tree = KeyringTree.EMPTY.apply(made.map(({ keyId, sha256 }) => toEntry(keyId, sha256)));
  write("keyring", tree.digest(), encodeEntries(tree.entries()));

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
  };
}

/** A snapshot of region "eu" with this many models, each with a target of its own; a limit is counted for each key. */
function createSnapshot(baseUrl: string, models: number, hasLimit: boolean): Uint8Array {
  const seconds = (count: number) => ({ seconds: BigInt(count) });
  const others = Array.from({ length: models - 2 }, (_, index) => `model-${index + 1}`);
  const ids = ["small", MESSAGES_MODEL, ...others];
  return toBinary(
    SnapshotSchema,
    create(SnapshotSchema, {
      region: "eu",
      version: 1n,
      policyVersion: 1n,
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
