import { join, resolve } from "node:path";

/** The regions of the development mesh, in the order in which they are started and printed. */
export const REGIONS = ["eu", "us"] as const;

/** A region of the development mesh. */
export type Region = (typeof REGIONS)[number];

/** Where a mesh keeps what it must find again at its next start. All paths are absolute. */
export interface Layout {
  readonly dataDir: string;
  readonly bin: string;
  readonly keys: string;
  readonly postgres: string;
  readonly nats: string;
  readonly router: string;
  readonly run: string;
  readonly logs: string;
  /** Which credentials `weir up` has set, by a keyed hash of each. */
  readonly credentials: string;
  /** Compiled code of the services, which Node keeps there. */
  readonly compileCache: string;
  readonly demoKey: string;
  /** Who operates the mesh. */
  readonly operators: string;
  /** The admin key that the `weir` commands show; a secret. */
  readonly adminKey: string;
  /** Addresses of the mesh that last started here; the `weir` commands read it to find their services. */
  readonly meshFile: string;
}

/** Names the folders and files of a data directory. Makes nothing. */
export function createLayout(dataDir: string): Layout {
  const root = resolve(dataDir);
  return {
    dataDir: root,
    bin: join(root, "bin"),
    keys: join(root, "keys"),
    postgres: join(root, "postgres"),
    nats: join(root, "nats"),
    router: join(root, "router"),
    run: join(root, "run"),
    logs: join(root, "logs"),
    credentials: join(root, "credentials.json"),
    compileCache: join(root, "compile-cache"),
    demoKey: join(root, "demo-key"),
    operators: join(root, "operators.yaml"),
    adminKey: join(root, "keys", "admin.key"),
    meshFile: join(root, "mesh.json"),
  };
}

/** The first port of a mesh when `--port` is not given. */
export const DEFAULT_BASE_PORT = 7400;

/** Each port of the development mesh as an offset from its first one. */
const OFFSETS = {
  policy: 0,
  metering: 1,
  "audit-control": 2,
  "router-eu": 10,
  "router-eu-admin": 11,
  "audit-eu": 12,
  "router-us": 20,
  "router-us-admin": 21,
  "audit-us": 22,
  postgres: 30,
  "nats-hub": 31,
  "nats-hub-leaf-link": 32,
  "nats-eu": 33,
  "nats-us": 34,
  provider: 40,
} as const;

/** What listens on a port of the mesh. */
export type PortName = keyof typeof OFFSETS;

/** The ports of a mesh, by what listens there. */
export type Ports = Readonly<Record<PortName, number>>;

/** Counts the ports of a mesh from its first one. The last port is 40 above it, however many routers there are. */
export function createPorts(basePort: number): Ports {
  return Object.fromEntries(Object.entries(OFFSETS).map(([name, offset]) => [name, basePort + offset])) as Ports;
}

/** How many routers a region of the development mesh can have: as many as there are free ports between those of the regions. */
export const MAX_ROUTERS = 8;

/**
 * Where operators reach the router of this number in its region, from 1: eu-1 at 11 above the first port, eu-2 at 13, … eu-8 at 19, and those
 * of us ten above these. All routers of a region share one port for callers.
 */
export function getRouterAdminPort(ports: Ports, region: Region, number: number): number {
  return number === 1 ? ports[`router-${region}-admin`] : ports[`router-${region}-admin`] + number;
}

/** Loopback, on which everything of the development mesh listens. */
export const HOST = "127.0.0.1";
