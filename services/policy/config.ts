import { authoritySettings } from "../shared/authority/open-authority.ts";
import { tlsSettings } from "../shared/mesh/tls.ts";
import { commonSettings, type Declarations, readSettings, type Settings } from "../shared/settings.ts";
import type { Log } from "../shared/telemetry/log.ts";

/** The settings of policy, each documented once; the table in the README is printed from here. */
export const DECLARATIONS = {
  WEIR_LISTEN: {
    kind: "address",
    default: "127.0.0.1:7400",
    meaning: "Where it serves its RPCs, health, readiness and metrics.",
  },
  WEIR_DATABASE_URL: {
    kind: "secret",
    meaning: "Its own PostgreSQL database, with the role that owns it: postgres://user:password@host:port/database.",
  },
  WEIR_DATABASE_CONNECTIONS: {
    kind: "integer",
    default: 8,
    min: 5,
    max: 100,
    unit: "connections",
    meaning: "Most connections to the database; one listens, two relay the outbox, the rest answer.",
  },
  WEIR_NATS_URL: {
    kind: "secret",
    meaning: "The hub's NATS server, with the user of the account MESH: nats://user:password@host:port.",
  },
  WEIR_AUDIT_NATS_URL: {
    kind: "secret",
    meaning: "The same server, with the user of the account CONTROL that sends records.",
  },
  WEIR_AUDIT_ADDRESS: {
    kind: "list",
    default: "127.0.0.1:7402",
    meaning: "The control plane's audit, host:port, one or more instances: asked which records it has committed.",
  },
  WEIR_SIGNING_KEY: {
    kind: "path",
    meaning: "File with the key that signs heads of snapshots and keyrings, made by `weir keygen` (PRIVATE+KEY+…).",
  },
  ...authoritySettings,
  ...commonSettings,
  ...tlsSettings,
} as const satisfies Declarations;

/** What policy runs with. */
export type Config = Settings<typeof DECLARATIONS>;

/** Reads the settings from the environment; throws SETTING_INVALID with all that is wrong. */
export function readConfig(environment: Readonly<Record<string, string | undefined>>, log?: Log): Config {
  return readSettings(environment, DECLARATIONS, log === undefined ? {} : { log });
}
