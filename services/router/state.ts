import type { HeadKind } from "../shared/snapshot/head.ts";
import type { PinnedPolicy } from "../shared/snapshot/hold.ts";
import type { CredentialSource } from "./credentials/credential.ts";
import type { AbsentTarget } from "./ejection/standings.ts";
import type { Upstreams } from "./routing/upstreams.ts";

/** What the live state is made of. */
export interface StateSources {
  readonly region: string;
  readonly router: string;
  readonly boot: string;
  readonly build: string;
  readonly current: () => PinnedPolicy | undefined;
  /** Seconds since policy confirmed what is held of a kind. */
  readonly findConfigAge: (kind: HeadKind) => number | undefined;
  readonly findUpstreams: (pinned: PinnedPolicy) => Upstreams;
  /** The targets that are not asked by all now. */
  readonly listAbsent: () => readonly AbsentTarget[];
  readonly credentials: CredentialSource;
  readonly countChats: () => number;
  readonly countConnections: () => { readonly busy: number; readonly free: number };
  readonly countBodyBytes: () => number;
  readonly isPolicyConnected: () => boolean;
  readonly isBusConnected: () => { readonly usage: boolean; readonly records: boolean };
}

/** The live state of a router, for operators, as JSON. No secret, caller or prompt is in it. */
export function toState(sources: StateSources): object {
  const pinned = sources.current();
  const upstreams = pinned === undefined ? undefined : sources.findUpstreams(pinned);
  return {
    region: sources.region,
    router: sources.router,
    boot: sources.boot,
    build: sources.build,
    snapshot: pinned && {
      version: String(pinned.snapshotVersion),
      policyVersion: String(pinned.snapshot.policyVersion),
      digest: Buffer.from(pinned.snapshotDigest).toString("hex"),
      models: pinned.snapshot.models.length,
      targets: pinned.snapshot.targets.length,
      configAgeSeconds: sources.findConfigAge("snapshot"),
    },
    keyring: pinned && {
      version: String(pinned.keyringVersion),
      entries: pinned.keyring.size,
      configAgeSeconds: sources.findConfigAge("keyring"),
    },
    providers: upstreams && [
      ...upstreams.list().map(({ provider }) => ({ id: provider.id, usable: true })),
      ...upstreams.unusable.map(({ id, reason, state }) => ({ id, usable: false, reason, state })),
    ],
    ejectedTargets: sources.listAbsent().map(({ target, state, cause, ejections, forMs }) => ({
      id: target,
      state,
      cause,
      ejections,
      forMs: Math.round(forMs),
    })),
    credentials: {
      source: sources.credentials.kind,
      held: sources.credentials.list().map(({ version, ...rest }) => ({ ...rest, version: String(version) })),
    },
    policyConnected: sources.isPolicyConnected(),
    busConnected: sources.isBusConnected(),
    openChats: sources.countChats(),
    providerConnections: sources.countConnections(),
    bodyBytes: sources.countBodyBytes(),
  };
}
