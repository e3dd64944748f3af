import type { StreamName } from "../../services/shared/bus/streams.ts";
import { HOST, REGIONS, type Region } from "./layout.ts";

/** Users of the NATS servers, by what they do. A user of a region exists on that region's server only. */
export const NATS_USERS = [
  "policy", // hub, MESH: says that a version was published, lays what was released into each region's domain
  "metering", // hub, MESH: consumes each region's usage through its domain
  "control-producer", // hub, CONTROL: sends the records of policy and key changes
  "control-audit", // hub, CONTROL: takes them in
  "link-eu", // hub, MESH: what the leaf of eu connects as
  "link-us",
  "router-eu", // leaf, MESH: sends usage, reads what was released
  "router-us",
  "records-eu", // leaf, REGION: sends records
  "records-us",
  "audit-eu", // leaf, REGION: takes them in
  "audit-us",
] as const;

/** A user of a NATS server. */
export type NatsUser = (typeof NATS_USERS)[number];

/** What a server's config file says besides its users. */
export interface NatsServerOptions {
  readonly port: number;
  /** The hub's port for leaves. */
  readonly leafLinkPort: number;
  /** JetStream's folder. */
  readonly storeDir: string;
  readonly passwords: Passwords;
}

type Passwords = Readonly<Record<NatsUser, string>>;

interface Permissions {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

/** Where answers come to. */
const INBOXES = ["_INBOX.>"];

/** Name of an audit's consumer of records. */
const AUDIT_DURABLE = "audit";

/** Name of metering's consumer of a region's usage, the only one whose acknowledgements the leaf link lets through. */
function createMeteringDurable(region: Region): string {
  return `metering-${region}`;
}

// What users may publish, by what they do; all of them may listen to inboxes, for answers, and to nothing else. A producer needs its
// subjects only: whoever takes messages in makes the stream that keeps them.

/** What whoever makes a stream needs, through this API prefix: make sure of it, as `ensureStream` does, and of no other. */
function maker(stream: StreamName, prefix = "$JS.API"): string[] {
  return ["INFO", "CREATE", "UPDATE"].map((verb) => `${prefix}.STREAM.${verb}.${stream}`);
}

/** What the one consumer of a stream needs, through this API prefix: make the stream and its own consumer, take messages, acknowledge them. */
function consumer(stream: StreamName, durable: string, prefix = "$JS.API"): string[] {
  const own = ["INFO", "CREATE", "MSG.NEXT"].map((verb) => `${prefix}.CONSUMER.${verb}.${stream}.${durable}`);
  return [...maker(stream, prefix), ...own, `$JS.ACK.${stream}.${durable}.>`];
}

/** What metering needs in a region: its server is reached through its JetStream domain. */
function meter(region: Region): string[] {
  return consumer("USAGE", createMeteringDurable(region), `$JS.${region}.API`);
}

/** What policy needs in a region: lay what was released into the stream of its server. */
function releaser(region: Region): string[] {
  const prefix = `$JS.${region}.API`;
  return [`released.${region}.>`, ...maker("RELEASED", prefix), `${prefix}.STREAM.MSG.GET.RELEASED`];
}

/** What a router needs to read what was released to its region. It can write none of it. */
const RELEASED_READER = ["$JS.API.STREAM.INFO.RELEASED", "$JS.API.STREAM.MSG.GET.RELEASED"];

/**
 * What may pass over the leaf link of a region, seen from the hub: the hub may call the API of the region's domain, lay what was released to
 * it into its stream, and acknowledge (the leaf subscribes), the leaf may answer into inboxes (it publishes). It may not listen to inboxes, nor to another region's API, so
 * that neither region sees what the hub and the other one say to each other; nor may usage itself be pushed: nothing is copied.
 *
 * Acknowledgements pass by the consumer's name, which therefore names the region: their subject names no domain, and an
 * acknowledgement for "USAGE" of eu would else remove a message of "USAGE" of us that nobody has taken in (tried with 2.9.10).
 */
function leafLink(region: Region): Permissions {
  return {
    publish: INBOXES,
    subscribe: [`released.${region}.>`, `$JS.${region}.API.>`, `$JS.ACK.USAGE.${createMeteringDurable(region)}.>`],
  };
}

/**
 * The config file of the hub: domain `hub`; account MESH (policy, metering, and the leaves' links) and account CONTROL (the control
 * plane's records), which nothing connects.
 */
export function createHubConfig(options: NatsServerOptions): string {
  const user = userLine(options.passwords);
  return `${head("hub", options)}
leafnodes { host: "${HOST}", port: ${options.leafLinkPort} }
accounts {
  MESH {
    jetstream: enabled
    users: [
      ${user("policy", ["policy.>", ...maker("POLICY"), ...REGIONS.flatMap(releaser)])}
      ${user("metering", REGIONS.flatMap(meter))}
      ${linkLine("eu", options.passwords)}
      ${linkLine("us", options.passwords)}
    ]
  }
  CONTROL {
    jetstream: enabled
    users: [
      ${user("control-producer", ["audit.control.>", ...maker("AUDIT")])}
      ${user("control-audit", consumer("AUDIT", AUDIT_DURABLE))}
    ]
  }
}
`;
}

/**
 * The config file of a region's server: a leaf of the hub with its own JetStream domain. Account MESH (usage) is bound to the link;
 * account REGION (records) is not, so that no configuration of a client can take a record across the border.
 */
export function createLeafConfig(region: Region, options: NatsServerOptions): string {
  const user = userLine(options.passwords);
  const link = `link-${region}` as const;
  return `${head(region, options)}
leafnodes {
  remotes: [
    { url: "nats-leaf://${link}:${options.passwords[link]}@${HOST}:${options.leafLinkPort}", account: "MESH" }
  ]
}
accounts {
  MESH {
    jetstream: enabled
    users: [
      ${user(`router-${region}`, [`usage.${region}.>`, ...RELEASED_READER])}
    ]
  }
  REGION {
    jetstream: enabled
    users: [
      ${user(`records-${region}`, [`audit.${region}.>`])}
      ${user(`audit-${region}`, consumer("AUDIT", AUDIT_DURABLE))}
    ]
  }
}
`;
}

function head(domain: string, { port, storeDir }: NatsServerOptions): string {
  // 2.9 ignores settings that it does not know only in JetStream's API, not here: keep to what 2.9 has.
  return `# Written by weir at each start; changes are lost.
server_name: "weir-${domain}"
host: "${HOST}"
port: ${port}
max_payload: 1MB
ping_interval: "10s"
jetstream {
  store_dir: ${JSON.stringify(storeDir)}
  domain: "${domain}"
  max_memory_store: 64MB
  max_file_store: 8GB
}`;
}

function userLine(passwords: Passwords) {
  return (name: NatsUser, publish: readonly string[]) => toLine(name, passwords, { publish, subscribe: INBOXES });
}

function linkLine(region: Region, passwords: Passwords): string {
  return toLine(`link-${region}`, passwords, leafLink(region));
}

function toLine(name: NatsUser, passwords: Passwords, { publish, subscribe }: Permissions): string {
  const list = (subjects: readonly string[]) => `[${subjects.map((subject) => `"${subject}"`).join(", ")}]`;
  return `{ user: "${name}", password: "${passwords[name]}", permissions: { publish: { allow: ${list(publish)} }, subscribe: { allow: ${list(subscribe)} } } }`;
}
