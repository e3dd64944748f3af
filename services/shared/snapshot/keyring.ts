import { fromBinary } from "@bufbuild/protobuf";
import { type KeyGrant, type KeyringGrant, KeyringGrantSchema } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { listSecrets } from "../decision/key-secrets.ts";
import type { Bucket, DigestedEntry } from "./bucket.ts";
import { bucketOf, KeyringTree } from "./digest.ts";
import type { Steps } from "./slices.ts";

const TENANT_PREFIX = "tenant:";

/**
 * The grants that were asked for, decoded, by their bucket and id: keyrings share the buckets that a change did not touch, so a change
 * decodes few anew, and what no keyring holds any longer is collected.
 */
const decodedOf = new WeakMap<Bucket, Map<string, KeyringGrant>>();

/** A keyring to ask: what a virtual key is good for, and which tenants are disabled. Never changes. */
export class Keyring {
  /** The entries with their digest. */
  readonly tree: KeyringTree;
  readonly #disabled: ReadonlySet<string>;

  private constructor(tree: KeyringTree, disabled: ReadonlySet<string>) {
    this.tree = tree;
    this.#disabled = disabled;
  }

  /** The one without entries. */
  static readonly EMPTY: Keyring = new Keyring(KeyringTree.EMPTY, new Set());

  /** The keyring of entries that have been verified, in steps: only the buckets that this one lacks are looked into. */
  *advanceSteps(tree: KeyringTree): Steps<Keyring> {
    const disabled = new Set(this.#disabled);
    for (const { bucket, instead } of tree.bucketsApartFrom(this.tree)) {
      for (const { id } of instead.startingWith(TENANT_PREFIX)) disabled.delete(id.slice(TENANT_PREFIX.length));
      for (const { id } of bucket.startingWith(TENANT_PREFIX)) disabled.add(id.slice(TENANT_PREFIX.length));
      yield;
    }
    return new Keyring(tree, disabled);
  }

  /** How many entries there are, disabled tenants included. */
  get size(): number {
    return this.tree.size;
  }

  /** The grant of a key, revoked ones included; undefined for an id that the region does not know. One hash and one look-up. */
  find(keyId: string): KeyGrant | undefined {
    const bucket = this.tree.getBucket(bucketOf(keyId));
    const bytes = bucket.find(keyId);
    if (bytes === undefined) return undefined;
    const { entry } = decodeGrant(bucket, { id: keyId, grant: bytes });
    return entry.case === "key" ? entry.value : undefined;
  }

  /** At most so many grants of keys that are not revoked, of different buckets, for trying decisions. The same of the same keyring. */
  sample(count: number): KeyGrant[] {
    const grants: KeyGrant[] = [];
    for (const bucket of this.tree.buckets()) {
      if (grants.length >= count) break;
      for (const digested of bucket) {
        const { entry } = decodeGrant(bucket, digested);
        if (entry.case !== "key" || entry.value.revokedAt !== undefined) continue;
        grants.push(entry.value);
        break;
      }
    }
    return grants;
  }

  /** Whether a tenant ("organisation", "organisation/team" or "organisation/team/app") is disabled by an entry of its own. */
  isTenantDisabled(tenant: string): boolean {
    return this.#disabled.has(tenant);
  }

  /** Whether any tenant is disabled, so that mostly nobody has to ask. */
  get hasDisabledTenants(): boolean {
    return this.#disabled.size > 0;
  }
}

/** Decodes the grant of a bucket's entry, once. Throws for bytes that are no message. */
function decodeGrant(bucket: Bucket, { id, grant: bytes }: DigestedEntry): KeyringGrant {
  let decoded = decodedOf.get(bucket);
  if (decoded === undefined) {
    decoded = new Map();
    decodedOf.set(bucket, decoded);
  }
  let grant = decoded.get(id);
  if (grant === undefined) {
    grant = fromBinary(KeyringGrantSchema, bytes);
    decoded.set(id, grant);
  }
  return grant;
}

const TENANT_ID = /^[a-z0-9][a-z0-9-]{0,62}$/;

// Facts about a tenant that is malformed would be parked by their owners: better no call than one that nobody can be billed for.
function isTenant({ organisation, team, app, environment }: KeyGrant): boolean {
  return [organisation, team, app, environment].every((id) => TENANT_ID.test(id)) && environment.length <= 32;
}

/** What is wrong with an entry, or undefined: its grant must decode, and belong under its id. */
export function findEntryProblem({ id, grant: bytes }: DigestedEntry): string | undefined {
  let grant: KeyringGrant;
  try {
    grant = fromBinary(KeyringGrantSchema, bytes);
  } catch {
    return "its grant does not decode";
  }
  const { entry } = grant;
  switch (entry.case) {
    case "key":
      if (entry.value.keyId !== id) return "its grant is for another key";
      if (listSecrets(entry.value).some(({ sha256 }) => sha256.length !== 32))
        return "a secret's hash has not 32 bytes";
      return isTenant(entry.value) ? undefined : "its key's tenant is malformed";
    case "disabledTenant":
      return `${TENANT_PREFIX}${entry.value.tenant}` === id ? undefined : "its grant is for another tenant";
    case undefined:
      // Perhaps a kind that a later policy knows, whose head then names a feature; alone it must not be skipped.
      return "its grant says nothing that this build knows";
  }
}
