import type { Snapshot } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { findDialect } from "../providers/registry.ts";
import { type FindDialect, Upstreams } from "./upstreams.ts";

/**
 * The upstreams of the snapshots that chats run under: made once for each, with the credentials of that time. A chat that
 * pinned a snapshot finds its upstreams again after a newer one was applied.
 */
export class UpstreamBook {
  readonly #readSecrets: () => ReadonlyMap<string, string>;
  readonly #findDialect: FindDialect;
  readonly #bySnapshot = new WeakMap<Snapshot, Upstreams>();

  /** `readSecrets` reads the credentials, by name; `find` finds dialects, by default those of this router. */
  constructor(readSecrets: () => ReadonlyMap<string, string>, find: FindDialect = findDialect) {
    this.#readSecrets = readSecrets;
    this.#findDialect = find;
  }

  /** The upstreams of a snapshot. */
  get(snapshot: Snapshot): Upstreams {
    return this.#bySnapshot.get(snapshot) ?? this.renew(snapshot);
  }

  /** Reads the credentials anew and makes the upstreams of a snapshot with them. Do it when one is applied. */
  renew(snapshot: Snapshot): Upstreams {
    const secrets = this.#readSecrets();
    const upstreams = new Upstreams(snapshot, (credential) => secrets.get(credential), this.#findDialect);
    this.#bySnapshot.set(snapshot, upstreams);
    return upstreams;
  }
}
