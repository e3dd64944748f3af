import type { Snapshot } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import type { FindCredential } from "../credentials/credential.ts";
import { findDialect } from "../providers/registry.ts";
import { type FindDialect, Upstreams } from "./upstreams.ts";

/**
 * The upstreams of the snapshots that chats run under: made once for each, with the credentials of that time. A chat that
 * pinned a snapshot finds its upstreams again after a newer one was applied; one that runs goes on with those that it took.
 */
export class UpstreamBook {
  readonly #credentials: () => FindCredential;
  readonly #findDialect: FindDialect;
  readonly #bySnapshot = new WeakMap<
    Snapshot,
    { readonly upstreams: Upstreams; readonly credentials: FindCredential }
  >();

  /** `credentials` says which there are now; `find` finds dialects, by default those of this router. */
  constructor(credentials: () => FindCredential, find: FindDialect = findDialect) {
    this.#credentials = credentials;
    this.#findDialect = find;
  }

  /** The upstreams of a snapshot. */
  get(snapshot: Snapshot): Upstreams {
    return this.#bySnapshot.get(snapshot)?.upstreams ?? this.renew(snapshot);
  }

  /**
   * The upstreams of a snapshot with the credentials of now: others than before only if those have changed. Do it when a snapshot is applied,
   * when credentials change, and when a provider refuses one.
   */
  renew(snapshot: Snapshot): Upstreams {
    const credentials = this.#credentials();
    const known = this.#bySnapshot.get(snapshot);
    if (known?.credentials === credentials) return known.upstreams;
    const upstreams = new Upstreams(snapshot, credentials, this.#findDialect);
    this.#bySnapshot.set(snapshot, { upstreams, credentials });
    return upstreams;
  }
}
