import { isIP } from "node:net";
import { type Dialect as DialectId, Inexpressible, type Server } from "../../../gen/weir/policy/v1/policy_pb.ts";
import type { Snapshot, SnapshotProvider, SnapshotTarget } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import type { Reason } from "../../shared/errors/reason.ts";
import { WeirError } from "../../shared/errors/weir-error.ts";
import type { Credential, FindCredential } from "../credentials/credential.ts";
import { createSecretHider } from "../credentials/hide-secret.ts";
import type { Dialect, DialectSettings, Format } from "../providers/dialect.ts";
import { findDialect } from "../providers/registry.ts";
import { readProviderTimeouts, readTargetTimeouts, type Timeouts } from "./timeouts.ts";
import { type RelayWay, type RelayWayFormat, Way, type WayOptions, type Ways } from "./way.ts";

/** A provider as this router reaches it, with all that its calls have in common made once for each snapshot. */
export interface Upstream {
  readonly provider: SnapshotProvider;
  readonly dialect: Dialect;
  /** Scheme, host and port. The only place to which its credential goes. */
  readonly origin: string;
  readonly ways: Ways;
  readonly settings: DialectSettings;
  /** Whether what its dialect can't say is left out; else a request that says it is refused. */
  readonly dropsInexpressible: boolean;
  /** The credential itself. Empty when it wants none. */
  readonly secret: string;
  /** Takes it out of what the provider says of a failure. */
  readonly hideSecret: (text: string) => string;
  /** Of its targets that have none of their own. */
  readonly timeouts: Timeouts;
  /** The longest that a connection may take to stand, for any of its targets. */
  readonly connectTimeoutMs: number;
}

/** Finds a dialect as a server speaks it; undefined for one that is not spoken here. */
export type FindDialect = (id: DialectId, server: Server) => Dialect | undefined;

/** Why a provider can't be used by this router. */
export interface UnusableProvider {
  readonly id: string;
  readonly reason: Reason;
  /** For an operator. */
  readonly state: string;
}

/** The providers of a snapshot as this router reaches them. Never changes. */
export class Upstreams {
  readonly #usable = new Map<string, Upstream>();
  readonly #reached: { readonly target: SnapshotTarget; readonly upstream: Upstream }[] = [];
  /** Of targets that have some of their own. */
  readonly #timeouts = new Map<string, Timeouts>();
  /** Those that can't be used, for the log and the live state. */
  readonly unusable: readonly UnusableProvider[];

  /** `find` finds dialects, by default those of this router. */
  constructor(snapshot: Snapshot, findCredential: FindCredential, find: FindDialect = findDialect) {
    const unusable: UnusableProvider[] = [];
    const targets = Map.groupBy(snapshot.targets, ({ provider }) => provider);
    for (const provider of snapshot.providers) {
      const served = targets.get(provider.id) ?? [];
      const upstream = createUpstream(provider, served, (name) => findCredential(snapshot.organisation, name), find);
      if ("state" in upstream) unusable.push(upstream);
      else this.#add(upstream, served);
    }
    this.unusable = unusable;
  }

  #add(upstream: Upstream, targets: readonly SnapshotTarget[]): void {
    this.#usable.set(upstream.provider.id, upstream);
    for (const target of targets) {
      this.#reached.push({ target, upstream });
      const timeouts = readTargetTimeouts(target, upstream.timeouts);
      if (timeouts !== upstream.timeouts) this.#timeouts.set(target.id, timeouts);
    }
  }

  /** The upstream of a target that was not rejected. */
  get(target: SnapshotTarget): Upstream {
    const upstream = this.#usable.get(target.provider);
    if (upstream === undefined) throw new Error(`Cannot reach provider "${target.provider}": it was rejected`);
    return upstream;
  }

  /** How long a target is waited for. */
  getTimeouts(target: SnapshotTarget): Timeouts {
    return this.#timeouts.get(target.id) ?? this.get(target).timeouts;
  }

  /** Why a target can't be used here; undefined when it can. To be handed to the decision as it stands. */
  readonly findRejection = (target: SnapshotTarget): Reason | undefined => {
    if (this.#usable.has(target.provider)) return undefined;
    return this.unusable.find(({ id }) => id === target.provider)?.reason ?? "NO_TARGET";
  };

  /** The targets that can be used, each with its upstream. */
  listTargets(): readonly { readonly target: SnapshotTarget; readonly upstream: Upstream }[] {
    return this.#reached;
  }

  /** All that can be used. */
  list(): Upstream[] {
    return [...this.#usable.values()];
  }
}

function createUpstream(
  provider: SnapshotProvider,
  targets: readonly SnapshotTarget[],
  findCredential: (name: string) => Credential | undefined,
  find: FindDialect,
): Upstream | UnusableProvider {
  const { id } = provider;
  const dialect = find(provider.dialect, provider.server);
  if (dialect === undefined) return { id, reason: "NOT_SERVED", state: "this router does not speak its dialect" };
  const base = URL.parse(provider.baseUrl);
  if (base === null || !isAllowed(base)) {
    return { id, reason: "SETTING_INVALID", state: "its base URL must be https, or http on a loopback address" };
  }
  let secret = "";
  if (provider.credential !== "") {
    const found = findCredential(provider.credential);
    if (found === undefined) {
      return {
        id,
        reason: "CREDENTIAL_MISSING",
        state: `its credential "${provider.credential}" is not in this router`,
      };
    }
    if (found.origins.length > 0 && !found.origins.includes(base.origin)) {
      // Whoever sealed it said where it may go; no policy can send it elsewhere.
      return {
        id,
        reason: "CREDENTIAL_REFUSED",
        state: `its credential "${provider.credential}" may not be sent to ${base.origin}`,
      };
    }
    secret = found.secret;
  }
  let credential: string[];
  try {
    credential = secret === "" ? [] : dialect.composeCredential(secret);
  } catch (error) {
    if (!(error instanceof WeirError)) throw error;
    return {
      id,
      reason: error.reason,
      state: `its credential "${provider.credential}" is of no form that its dialect has`,
    };
  }
  const headers = [
    "content-type",
    "application/json",
    "accept-encoding",
    "identity",
    "user-agent",
    "weir",
    ...(dialect.headers ?? []),
    ...credential,
  ];
  const timeouts = readProviderTimeouts(provider);
  const settings: DialectSettings = { apiVersion: provider.apiVersion, cloudRegion: provider.cloudRegion };
  return {
    provider,
    dialect,
    origin: base.origin,
    ways: createWays(dialect, { basePath: base.pathname.replace(/\/+$/, ""), settings, headers }),
    settings,
    dropsInexpressible: provider.inexpressible === Inexpressible.DROP,
    secret,
    hideSecret: createSecretHider(secret),
    timeouts,
    connectTimeoutMs: Math.max(
      timeouts.connectMs,
      ...targets.map((one) => readTargetTimeouts(one, timeouts).connectMs),
    ),
  };
}

function createWays({ relayed, typed, embeddings }: Dialect, options: WayOptions): Ways {
  const ways = relayed.map((format): [Format, RelayWay] => [
    format.format,
    new Way<RelayWayFormat>({ kind: "relay", format }, options),
  ]);
  return {
    relayed: new Map(ways),
    typed: new Way({ kind: "typed", format: typed }, options),
    embeddings: embeddings && new Way({ kind: "typed", format: embeddings }, options),
  };
}

/** Checked by policy too; here it is the last door before a credential leaves. */
function isAllowed({ protocol, hostname, username, password, search, hash }: URL): boolean {
  if (username !== "" || password !== "" || search !== "" || hash !== "") return false;
  if (protocol === "https:") return true;
  const host = hostname.replace(/^\[|\]$/g, "");
  const isLoopback = host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
  return protocol === "http:" && isLoopback;
}
