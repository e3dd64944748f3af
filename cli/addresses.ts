import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { formatAddress } from "../services/shared/mesh/address-resolver.ts";
import { type ClientTls, readTls, tlsSettings } from "../services/shared/mesh/tls.ts";
import { type Address, readSettings } from "../services/shared/settings.ts";
import { createLayout, createPorts, DEFAULT_BASE_PORT, HOST, REGIONS } from "./up/layout.ts";

/** A service that operators ask. */
export interface Endpoint {
  /** "host:port". */
  readonly address: string;
  /** File with the admin key that it knows, when the mesh is one of this machine. WEIR_TOKEN goes before it. */
  readonly tokenFile?: string;
}

/** Where the services of a mesh are. */
export interface Addresses {
  readonly policy: Endpoint;
  readonly metering: Endpoint;
  /** By region, and "control". */
  readonly audit: Readonly<Record<string, Endpoint>>;
  /** By region: where callers reach a router, as "host:port". */
  readonly router: Readonly<Record<string, string>>;
  /** Path of the trust file for `weir audit verify`. */
  readonly trust: string;
  /** Path of the public keys of the regions, for `weir credentials set`. */
  readonly recipients: string;
}

/** Settings of the `weir` command, besides its options. */
const CLI_SETTINGS = {
  ...tlsSettings,
  WEIR_TOKEN: {
    kind: "secret",
    optional: true,
    meaning:
      "Token of an issuer, or admin key, that says who asks. Default: the admin key of the mesh of --data-dir; elsewhere that of `weir login`.",
  },
  WEIR_SESSION: {
    kind: "path",
    optional: true,
    meaning:
      "File in which `weir login` keeps the session. Default: weir/session.json in the user's folder of configuration.",
  },
  WEIR_POLICY_ADDRESS: { kind: "address", optional: true, meaning: "host:port of policy." },
  WEIR_METERING_ADDRESS: { kind: "address", optional: true, meaning: "host:port of metering." },
  WEIR_AUDIT_ADDRESSES: {
    kind: "list",
    optional: true,
    meaning: "Addresses of the audit services, such as control=host:port,eu=host:port.",
  },
  WEIR_TRUST: { kind: "path", optional: true, meaning: "File of verifier keys, one a line, for `weir audit verify`." },
  WEIR_RECIPIENTS: {
    kind: "path",
    optional: true,
    meaning: "File of the public keys of the regions, one a line, for `weir credentials set`.",
  },
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
  const layout = createLayout(dataDir);
  const endpoint = (name: keyof typeof ports): Endpoint => ({
    address: `${HOST}:${ports[name]}`,
    tokenFile: layout.adminKey,
  });
  return {
    policy: endpoint("policy"),
    metering: endpoint("metering"),
    audit: Object.fromEntries(
      (["control", ...REGIONS] as const).map((region) => [region, endpoint(`audit-${region}`)]),
    ),
    router: Object.fromEntries(REGIONS.map((region) => [region, `${HOST}:${ports[`router-${region}`]}`])),
    trust: `${layout.keys}/trust.txt`,
    recipients: `${layout.keys}/recipients.txt`,
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
    return [region, { address }];
  });
  // The admin key of a mesh on this machine is shown to no other.
  const elsewhere = (address: Address | undefined): Endpoint | undefined =>
    address === undefined ? undefined : { address: formatAddress(address) };
  return {
    policy: elsewhere(settings.WEIR_POLICY_ADDRESS) ?? mesh.policy,
    metering: elsewhere(settings.WEIR_METERING_ADDRESS) ?? mesh.metering,
    audit: audit.length > 0 ? Object.fromEntries(audit) : mesh.audit,
    router: mesh.router,
    trust: settings.WEIR_TRUST ?? mesh.trust,
    // A mesh of an earlier version did not write it down.
    recipients: settings.WEIR_RECIPIENTS ?? mesh.recipients ?? `${createLayout(dataDir).keys}/recipients.txt`,
  };
}

/**
 * The authorities that the command trusts beyond loopback, and the certificate that it shows, if any; undefined for plain text.
 * Throws SETTING_INVALID for half a set.
 */
export function findTls(environment: NodeJS.ProcessEnv): ClientTls | undefined {
  const settings = readSettings(environment, CLI_SETTINGS);
  const { WEIR_TLS_CERTIFICATE: certificate, WEIR_TLS_KEY: key, WEIR_TLS_CLIENT_CA: authorities } = settings;
  // Operators show tokens: to know whom they show them to, authorities are enough.
  if (authorities !== undefined && certificate === undefined && key === undefined) {
    return { authorities: readFileSync(authorities) };
  }
  return readTls(settings);
}

/** The file in which `weir login` keeps the session of this user. */
export function findSessionFile(environment: NodeJS.ProcessEnv): string {
  const { WEIR_SESSION: path } = readSettings(environment, CLI_SETTINGS);
  return path ?? join(environment.XDG_CONFIG_HOME || join(homedir(), ".config"), "weir", "session.json");
}

/**
 * The token or admin key that the command shows to a service: that of the environment, else that of the mesh on this machine; undefined
 * when there is none.
 */
export function findToken({ tokenFile }: Endpoint, environment: NodeJS.ProcessEnv): string | undefined {
  const { WEIR_TOKEN: token } = readSettings(environment, CLI_SETTINGS);
  if (token !== undefined || tokenFile === undefined) return token;
  try {
    return readFileSync(tokenFile, "utf8").trim();
  } catch {
    return undefined; // the service says what it needs
  }
}

function readMeshFile(dataDir: string): Addresses | undefined {
  try {
    const mesh = JSON.parse(readFileSync(createLayout(dataDir).meshFile, "utf8")) as Addresses;
    // An older version wrote down addresses alone.
    return typeof mesh.policy === "string" ? undefined : mesh;
  } catch {
    return undefined; // no mesh was started here
  }
}
