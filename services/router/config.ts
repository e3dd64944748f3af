import { WeirError } from "../shared/errors/weir-error.ts";
import { listenerSettings } from "../shared/mesh/listener.ts";
import { tlsSettings } from "../shared/mesh/tls.ts";
import { commonSettings, type Declarations, readSettings, type Settings } from "../shared/settings.ts";
import type { Log } from "../shared/telemetry/log.ts";

/** The settings of a router. */
export const DECLARATIONS = {
  ...commonSettings,
  ...tlsSettings,
  ...listenerSettings,
  WEIR_LISTEN: {
    kind: "address",
    default: "127.0.0.1:7410",
    meaning: "Where callers are served: the OpenAI paths, ChatService, health.",
  },
  WEIR_REUSE_PORT: {
    kind: "boolean",
    default: false,
    meaning:
      "Whether several routers of this machine share WEIR_LISTEN, each with an admin port, a name and a state folder of its own.",
  },
  WEIR_ADMIN_LISTEN: {
    kind: "address",
    default: "127.0.0.1:7411",
    meaning: "Where operators are served: metrics, readiness, live state, reflection.",
  },
  WEIR_REGION: { kind: "string", meaning: "Id of the region that this router serves." },
  WEIR_ROUTER: { kind: "string", meaning: "Name of this instance within its region, the same after a restart." },
  WEIR_POLICY_ADDRESS: { kind: "list", meaning: "Instances of policy, as host:port: for snapshots and keyrings." },
  WEIR_METERING_ADDRESS: { kind: "list", meaning: "Instances of metering, as host:port: for the watermark of usages." },
  WEIR_AUDIT_ADDRESS: {
    kind: "list",
    meaning: "Instances of the region's audit, as host:port: for the watermark of records.",
  },
  WEIR_NATS_URL: { kind: "secret", meaning: "The region's NATS server with the user of the account MESH: usages." },
  WEIR_AUDIT_NATS_URL: {
    kind: "secret",
    meaning: "The region's NATS server with the user of the account REGION: records.",
  },
  WEIR_STATE: {
    kind: "path",
    meaning: "Folder of this instance alone, on a disk that outlives it: the spool, the last good snapshots.",
  },
  WEIR_TRUST: {
    kind: "path",
    meaning: "File with the verifier keys of policy, one a line. Read again when it changes.",
  },
  WEIR_REGION_KEY: {
    kind: "secret",
    optional: true,
    meaning:
      "Private keys of the region, one a line: open the credentials that policy sends. The file is read again when a new key is named.",
  },
  WEIR_CREDENTIALS: {
    kind: "path",
    optional: true,
    meaning:
      "In place of WEIR_REGION_KEY: folder with a file (mode 0600) for each credential that policies name. Read anew when a snapshot is applied.",
  },
  WEIR_BODY_LIMIT: {
    kind: "bytes",
    default: "32MiB",
    min: 1024,
    max: 1_073_741_824,
    meaning: "Largest body of a request, in every protocol.",
  },
  WEIR_BODY_MEMORY: {
    kind: "bytes",
    default: "512MiB",
    min: 1024,
    meaning: "Most memory for bodies at a time: of requests, and of answers in one piece.",
  },
  WEIR_ANSWER_LIMIT: {
    kind: "bytes",
    default: "256MiB",
    min: 1024,
    meaning: "Largest answer of a provider, in one piece or as a stream.",
  },
  WEIR_PROVIDER_CONNECTIONS: {
    kind: "integer",
    default: 4096,
    min: 1,
    max: 60_000,
    unit: "connections",
    meaning: "Most connections to one provider. A stream holds one to its end.",
  },
  WEIR_SPOOL_LIMIT: {
    kind: "bytes",
    default: "1GiB",
    min: 1_048_576,
    meaning: "Size of the spool on disk beyond which new chats are refused.",
  },
} as const satisfies Declarations;

/** What a router runs with. */
export type Config = Settings<typeof DECLARATIONS>;

/** Reads the settings from the environment; throws SETTING_INVALID with all that is wrong. */
export function readConfig(environment: Readonly<Record<string, string | undefined>>, log?: Log): Config {
  const settings = readSettings(environment, DECLARATIONS, log === undefined ? {} : { log });
  if (settings.WEIR_REGION_KEY !== undefined && settings.WEIR_CREDENTIALS !== undefined) {
    // Which of them counts must not have to be guessed.
    const description =
      "WEIR_REGION_KEY and WEIR_CREDENTIALS exclude each other: credentials come from policy, or from files";
    throw new WeirError("SETTING_INVALID", `Cannot start: ${description}`, {
      violations: [{ field: "WEIR_CREDENTIALS", description }],
    });
  }
  return settings;
}
