import { fromBinary } from "@bufbuild/protobuf";
import { type Policy, PolicySchema } from "../../gen/weir/policy/v1/policy_pb.ts";
import type { PoolClient } from "../shared/database/pool.ts";
import { type FieldViolation, WeirError } from "../shared/errors/weir-error.ts";
import { findLatestDigest, findPolicy } from "./store/policy-versions.ts";

/** The latest policy, against which requests are held. It is read and decoded when there is another one, not for each request. */
export class CurrentPolicy {
  #held: { readonly digest: Uint8Array; readonly policy: Policy } | undefined;

  /**
   * Holds a request against the latest policy. Throws ARGUMENT_INVALID with what `find` objects to, or when no policy is published yet.
   * `act` says what can't be done then, such as "create key". `find` changes nothing of the policy, which others get too.
   */
  async check(
    client: PoolClient,
    act: string,
    find: (policy: Policy) => readonly FieldViolation[] | Promise<readonly FieldViolation[]>,
  ): Promise<void> {
    const policy = await this.#read(client);
    const violations =
      policy === undefined
        ? [{ field: "organisation", description: "no policy is published yet" }]
        : await find(policy);
    if (violations.length === 0) return;
    const list = violations.map(({ field, description }) => `${field} ${description}`).join("; ");
    throw new WeirError("ARGUMENT_INVALID", `Cannot ${act}: ${list}`, { violations });
  }

  // Held by its digest, not by its version: a database that was set back gives version numbers again.
  async #read(client: PoolClient): Promise<Policy | undefined> {
    const digest = await findLatestDigest(client);
    if (digest === undefined) return undefined;
    if (this.#held !== undefined && Buffer.compare(this.#held.digest, digest) === 0) return this.#held.policy;
    const stored = await findPolicy(client, 0n);
    if (stored === undefined) return undefined;
    this.#held = { digest: stored.digest, policy: fromBinary(PolicySchema, stored.content) };
    return this.#held.policy;
  }
}
