import { createHash } from "node:crypto";
import { create, toBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { type Policy, PolicySchema } from "../../gen/weir/policy/v1/policy_pb.ts";
import { type Pool, query } from "../shared/database/pool.ts";
import { transaction } from "../shared/database/transaction.ts";
import { CurrentPolicy } from "./current-policy.ts";
import { type PolicyHarness, startHarness } from "./harness.fixture.ts";
import { insertVersion } from "./store/policy-versions.ts";

let harness: PolicyHarness;
let pool: Pool;

beforeAll(async () => {
  harness = await startHarness();
  await harness.reset();
  ({ pool } = harness);
}, 60_000);
afterAll(() => harness?.stop());
beforeEach(() => query(pool, "delete from policy_version"));

async function publish(version: bigint, organisation: string): Promise<void> {
  const content = toBinary(PolicySchema, create(PolicySchema, { organisation }));
  const digest = createHash("sha256").update(content).digest();
  const requestId = `019a0000-0000-7000-8000-${String(version).padStart(12, "0")}`;
  const rest = { contentOf: 0n, comment: "", publishedAt: new Date(), publishedBy: "somebody" };
  await transaction(pool, (client) =>
    insertVersion(client, { version, organisation, digest, content, requestId, ...rest }),
  );
}

/** The policy that a request is held against. */
async function see(current: CurrentPolicy): Promise<Policy> {
  const seen: Policy[] = [];
  await transaction(pool, (client) =>
    current.check(client, "look", (policy) => {
      seen.push(policy);
      return [];
    }),
  );
  return seen[0]!;
}

it("holds requests against the latest policy, decoded once as long as none follows it", async () => {
  const current = new CurrentPolicy();
  await publish(1n, "first");
  const first = await see(current);
  const again = await see(current);
  await publish(2n, "second");

  const second = await see(current);

  expect([first.organisation, second.organisation]).toEqual(["first", "second"]);
  expect(again).toBe(first);
  expect(await see(current)).toBe(second);
});

it("takes a version of a database that was set back for another one, though its number is known", async () => {
  const current = new CurrentPolicy();
  await publish(1n, "before");
  await see(current);
  await query(pool, "delete from policy_version");
  await publish(1n, "after");

  expect((await see(current)).organisation).toBe("after");
});

it("refuses a request as long as no policy is published", async () => {
  await expect(see(new CurrentPolicy())).rejects.toMatchObject({
    reason: "ARGUMENT_INVALID",
    message: "Cannot look: organisation no policy is published yet",
  });
});
