import { authoritySettings } from "../shared/authority/open-authority.ts";
import { WeirError } from "../shared/errors/weir-error.ts";
import { tlsSettings } from "../shared/mesh/tls.ts";
import { commonSettings, type Declarations, readSettings, type Settings } from "../shared/settings.ts";
import type { Log } from "../shared/telemetry/log.ts";

/** The settings of metering, each documented once; the table in the README is printed from here. */
export const DECLARATIONS = {
  WEIR_LISTEN: {
    kind: "address",
    default: "127.0.0.1:7401",
    meaning: "Where it serves its RPCs, health, readiness and metrics.",
  },
  WEIR_DATABASE_URL: {
    kind: "secret",
    meaning: "Its own PostgreSQL database, with the role that owns it: postgres://user:password@host:port/database.",
  },
  WEIR_DATABASE_CONNECTIONS: {
    kind: "integer",
    default: 8,
    min: 2,
    max: 100,
    unit: "connections",
    meaning: "Most connections to the database; two for each region's intake, the rest for questions.",
  },
  WEIR_NATS_URL: {
    kind: "secret",
    meaning: "The hub's NATS server, with the user of the account MESH: nats://user:password@host:port.",
  },
  WEIR_REGIONS: {
    kind: "list",
    default: "eu,us",
    meaning: "Ids of the regions whose usage is taken in; each is the name of its server's JetStream domain.",
  },
  ...authoritySettings,
  ...commonSettings,
  ...tlsSettings,
} as const satisfies Declarations;

/** What metering runs with. */
export type Config = Settings<typeof DECLARATIONS>;

const REGION = /^[a-z0-9][a-z0-9-]{0,31}$/;

/** Reads the settings from the environment; throws SETTING_INVALID with all that is wrong. */
export function readConfig(environment: Readonly<Record<string, string | undefined>>, log?: Log): Config {
  const config = readSettings(environment, DECLARATIONS, log === undefined ? {} : { log });
  // A region's id becomes part of subjects on the bus, where a dot or a star would mean something else.
  const wrong = config.WEIR_REGIONS.filter((region) => !REGION.test(region));
  if (wrong.length > 0 || config.WEIR_REGIONS.length === 0) {
    const state = wrong.length > 0 ? `names "${wrong.join('", "')}", which is no id of a region` : "names no region";
    throw new WeirError("SETTING_INVALID", `Cannot read settings: WEIR_REGIONS ${state}`, {
      facts: { setting: "WEIR_REGIONS" },
    });
  }
  return { ...config, WEIR_REGIONS: [...new Set(config.WEIR_REGIONS)] };
}
