import { fromBinary } from "@bufbuild/protobuf";
import { type Policy, PolicySchema } from "../../gen/weir/policy/v1/policy_pb.ts";
import type { PoolClient } from "../shared/database/pool.ts";
import { type FieldViolation, WeirError } from "../shared/errors/weir-error.ts";
import { findPolicy } from "./store/policy-versions.ts";

/** Violations travel in trailers, which peers bound. */
const VIOLATIONS_LIMIT = 50;

/**
 * Holds a request against the latest policy. Throws ARGUMENT_INVALID with what `find` objects to, or when no policy is published yet.
 * `act` says what can't be done then, such as "create key".
 */
export async function checkAgainstPolicy(
  client: PoolClient,
  act: string,
  find: (policy: Policy) => readonly FieldViolation[] | Promise<readonly FieldViolation[]>,
): Promise<void> {
  const stored = await findPolicy(client, 0n);
  const violations =
    stored === undefined
      ? [{ field: "organisation", description: "no policy is published yet" }]
      : (await find(fromBinary(PolicySchema, stored.content))).slice(0, VIOLATIONS_LIMIT);
  if (violations.length === 0) return;
  const list = violations.map(({ field, description }) => `${field} ${description}`).join("; ");
  throw new WeirError("ARGUMENT_INVALID", `Cannot ${act}: ${list}`, { violations });
}
