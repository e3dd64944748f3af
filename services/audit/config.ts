import { authoritySettings } from "../shared/authority/open-authority.ts";
import { tlsSettings } from "../shared/mesh/tls.ts";
import { commonSettings, type Declarations, readSettings, type Settings } from "../shared/settings.ts";
import type { Log } from "../shared/telemetry/log.ts";

/** The settings of an audit service, each documented once; the table in the README is printed from here. */
export const DECLARATIONS = {
  ...authoritySettings,
  ...commonSettings,
  ...tlsSettings,
  WEIR_LISTEN: {
    kind: "address",
    default: "127.0.0.1:7402",
    meaning: "Where AuditService, IntakeService, health and metrics are served.",
  },
  WEIR_DATABASE_URL: { kind: "secret", meaning: "PostgreSQL database of this log, with the role that owns it." },
  WEIR_NATS_URL: {
    kind: "secret",
    meaning: "NATS server and user: the REGION account of the region's server, or the CONTROL account of the hub.",
  },
  WEIR_REGION: { kind: "string", meaning: "Id of the region whose records are logged, or `control`." },
  WEIR_ORIGIN: {
    kind: "string",
    meaning:
      "Origin line of the log's checkpoints, such as `weir.local/audit/eu`; also the name of its key. Never changes.",
  },
  WEIR_SIGNING_KEY: { kind: "path", meaning: "File with the log's signer key, made by `weir keygen`." },
  WEIR_RETIRED_KEYS: {
    kind: "path",
    optional: true,
    meaning:
      "File with older verifier keys of this log, one a line, after a rotation: to read the checkpoints they signed.",
  },
  WEIR_CHECKPOINT_INTERVAL: {
    kind: "duration",
    default: "1s",
    min: 100,
    max: 60_000,
    meaning: "Least time between two checkpoints: about the longest that a record waits for its proof.",
  },
} as const satisfies Declarations;

/** What an audit service runs with. */
export type Config = Settings<typeof DECLARATIONS>;

/** Reads the settings from the environment; throws SETTING_INVALID with all that is wrong. */
export function readConfig(environment: Readonly<Record<string, string | undefined>>, log?: Log): Config {
  return readSettings(environment, DECLARATIONS, log === undefined ? {} : { log });
}
