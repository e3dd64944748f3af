import { HOST, type Region } from "./layout.ts";

/** Users of the NATS servers, by what they do. A user of a region exists on that region's server only. */
export const NATS_USERS = [
  "policy", // hub, MESH: says that a version was published
  "metering", // hub, MESH: consumes each region's usage through its domain
  "control-producer", // hub, CONTROL: sends the records of policy and key changes
  "control-audit", // hub, CONTROL: takes them in
  "link-eu", // hub, MESH: what the leaf of eu connects as
  "link-us",
  "router-eu", // leaf, MESH: sends usage
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
  readonly passwords: Readonly<Record<NatsUser, string>>;
}

interface Permissions {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

/** Name of metering's consumer of a region's usage, the only one whose acknowledgements the leaf link lets through. */
function createMeteringDurable(region: Region): string {
  return `metering-${region}`;
}

/** What a producer into a stream of its own server may do: make sure of the stream, and publish. Nothing is deleted or read. */
function producer(...subjects: string[]): Permissions {
  return {
    publish: [
      ...subjects,
      "$JS.API.INFO",
      "$JS.API.STREAM.INFO.*",
      "$JS.API.STREAM.CREATE.*",
      "$JS.API.STREAM.UPDATE.*",
      "$JS.API.STREAM.NAMES",
    ],
    subscribe: ["_INBOX.>"],
  };
}

/** What a consumer of streams may do, through these API prefixes. */
function consumer(...prefixes: string[]): Permissions {
  const verbs = [
    "INFO",
    "STREAM.INFO.*",
    "STREAM.CREATE.*",
    "STREAM.UPDATE.*",
    "STREAM.NAMES",
    "STREAM.LIST",
    "CONSUMER.>",
  ];
  return {
    publish: [...prefixes.flatMap((prefix) => verbs.map((verb) => `${prefix}.${verb}`)), "$JS.ACK.>"],
    subscribe: ["_INBOX.>"],
  };
}

/** What policy may do: say that versions were published, and lay what was released into the stream of each region's server. */
function publisher(...domains: string[]): Permissions {
  const stream = domains.flatMap((domain) => [
    `$JS.${domain}.API.INFO`,
    `$JS.${domain}.API.STREAM.INFO.RELEASED`,
    `$JS.${domain}.API.STREAM.CREATE.RELEASED`,
    `$JS.${domain}.API.STREAM.UPDATE.RELEASED`,
    `$JS.${domain}.API.STREAM.MSG.GET.RELEASED`,
  ]);
  return join(producer("policy.>", "released.>"), { publish: stream, subscribe: [] });
}

/** What a router may do besides sending usage: read what was released to its region. It can write none of it. */
function reader(): Permissions {
  return { publish: ["$JS.API.STREAM.MSG.GET.RELEASED"], subscribe: [] };
}

function join(...parts: Permissions[]): Permissions {
  return { publish: parts.flatMap((part) => part.publish), subscribe: parts.flatMap((part) => part.subscribe) };
}

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
    publish: ["_INBOX.>"],
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
      ${user("policy", publisher("eu", "us"))}
      ${user("metering", join(consumer("$JS.API", "$JS.hub.API", "$JS.eu.API", "$JS.us.API")))}
      ${user("link-eu", leafLink("eu"))}
      ${user("link-us", leafLink("us"))}
    ]
  }
  CONTROL {
    jetstream: enabled
    users: [
      ${user("control-producer", producer("audit.control.>"))}
      ${user("control-audit", consumer("$JS.API"))}
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
      ${user(`router-${region}`, join(producer(`usage.${region}.>`), reader()))}
    ]
  }
  REGION {
    jetstream: enabled
    users: [
      ${user(`records-${region}`, producer(`audit.${region}.>`))}
      ${user(`audit-${region}`, consumer("$JS.API"))}
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

function userLine(passwords: Readonly<Record<NatsUser, string>>) {
  const list = (subjects: readonly string[]) => `[${subjects.map((subject) => `"${subject}"`).join(", ")}]`;
  return (name: NatsUser, { publish, subscribe }: Permissions) =>
    `{ user: "${name}", password: "${passwords[name]}", permissions: { publish: { allow: ${list(publish)} }, subscribe: { allow: ${list(subscribe)} } } }`;
}
