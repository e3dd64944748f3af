import { readFileSync } from "node:fs";
import { readTls, type Tls, tlsSettings } from "../services/shared/mesh/tls.ts";
import { readSettings } from "../services/shared/settings.ts";
import { createLayout, createPorts, DEFAULT_BASE_PORT, HOST, REGIONS } from "./up/layout.ts";

/** Where the services of a mesh are. Each is "host:port". */
export interface Addresses {
  readonly policy: string;
  readonly metering: string;
  /** By region, and "control". */
  readonly audit: Readonly<Record<string, string>>;
  /** By region: where callers reach a router. */
  readonly router: Readonly<Record<string, string>>;
  /** Path of the trust file for `weir audit verify`. */
  readonly trust: string;
}

/** Settings of the `weir` command, besides its options. */
const CLI_SETTINGS = {
  ...tlsSettings,
  WEIR_POLICY_ADDRESS: { kind: "string", optional: true, meaning: "host:port of policy." },
  WEIR_METERING_ADDRESS: { kind: "string", optional: true, meaning: "host:port of metering." },
  WEIR_AUDIT_ADDRESSES: {
    kind: "list",
    optional: true,
    meaning: "Addresses of the audit services, such as control=host:port,eu=host:port.",
  },
  WEIR_TRUST: { kind: "path", optional: true, meaning: "File of verifier keys, one a line, for `weir audit verify`." },
  WEIR_OLLAMA_URL: {
    kind: "url",
    optional: true,
    meaning:
      "Base URL of an Ollama server that `weir up` makes the example policy use, such as http://127.0.0.1:11434/v1.",
  },
  WEIR_VLLM_URL: {
    kind: "url",
    optional: true,
    meaning: "Base URL of a vLLM server that `weir up` makes the example policy use.",
  },
} as const;

/** Counts the addresses of the development mesh that `weir up` starts. */
export function createMeshAddresses(dataDir: string, basePort: number): Addresses {
  const ports = createPorts(basePort);
  const byRegion = (prefix: "audit" | "router") =>
    Object.fromEntries(REGIONS.map((region) => [region, `${HOST}:${ports[`${prefix}-${region}`]}`]));
  return {
    policy: `${HOST}:${ports.policy}`,
    metering: `${HOST}:${ports.metering}`,
    audit: { control: `${HOST}:${ports["audit-control"]}`, ...byRegion("audit") },
    router: byRegion("router"),
    trust: `${createLayout(dataDir).keys}/trust.txt`,
  };
}

/**
 * Finds the services: first by the settings of the environment, then by what the mesh of this data directory last wrote down, else
 * where `weir up` puts them by default. Throws SETTING_INVALID for settings that make no sense.
 */
export function findAddresses(dataDir: string, environment: NodeJS.ProcessEnv): Addresses {
  const settings = readSettings(environment, CLI_SETTINGS);
  const mesh = readMeshFile(dataDir) ?? createMeshAddresses(dataDir, DEFAULT_BASE_PORT);
  const audit = (settings.WEIR_AUDIT_ADDRESSES ?? []).map((item) => {
    const [region, address] = item.split("=");
    if (!region || !address) {
      throw new Error(`Cannot read WEIR_AUDIT_ADDRESSES: "${item}" is not region=host:port`);
    }
    return [region, address];
  });
  return {
    policy: settings.WEIR_POLICY_ADDRESS ?? mesh.policy,
    metering: settings.WEIR_METERING_ADDRESS ?? mesh.metering,
    audit: audit.length > 0 ? Object.fromEntries(audit) : mesh.audit,
    router: mesh.router,
    trust: settings.WEIR_TRUST ?? mesh.trust,
  };
}

/**
 * The certificates that the command shows to a control plane beyond loopback, and the authorities it trusts; undefined for plain text.
 * Throws SETTING_INVALID for half a set.
 */
export function findTls(environment: NodeJS.ProcessEnv): Tls | undefined {
  return readTls(readSettings(environment, CLI_SETTINGS));
}

function readMeshFile(dataDir: string): Addresses | undefined {
  try {
    return JSON.parse(readFileSync(createLayout(dataDir).meshFile, "utf8")) as Addresses;
  } catch {
    return undefined; // no mesh was started here
  }
}
