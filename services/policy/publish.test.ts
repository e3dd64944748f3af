import { createHash, randomUUID } from "node:crypto";
import { fromBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { RecordSchema } from "../../gen/weir/audit/v1/record_pb.ts";
import { AuditRecordedSchema } from "../../gen/weir/event/v1/audit_recorded_pb.ts";
import { PolicySchema, Severity } from "../../gen/weir/policy/v1/policy_pb.ts";
import { SnapshotSchema } from "../../gen/weir/policy/v1/snapshot_pb.ts";
import { getRefusal } from "../shared/errors/refusal.fixture.ts";
import { createSigner, openNote, parseVerifierKey } from "../shared/note/note.ts";
import { parseHead } from "../shared/snapshot/head.ts";
import { samplePolicy } from "./compilation/policy.fixture.ts";
import { type PolicyHarness, publishSample, startHarness, type TestInstance, verifier } from "./harness.fixture.ts";

let harness: PolicyHarness;
let first: TestInstance;
let second: TestInstance;

beforeAll(async () => {
  harness = await startHarness();
}, 60_000);
afterAll(() => harness.stop());
beforeEach(async () => {
  await harness.reset();
  [first, second] = await Promise.all([harness.start(), harness.start()]);
});

it("an instance answers UNAVAILABLE while its database has no tables, to who reads and to who publishes", async () => {
  await harness.pool.query("drop schema public cascade");
  await harness.pool.query("create schema public");

  const reading = await getRefusal(first.policies.getPolicy({}));
  const publishing = await getRefusal(publishSample(first));

  expect(reading).toMatchObject({ reason: "UNAVAILABLE", facts: { sqlstate: "42P01" } });
  expect(publishing).toMatchObject({ reason: "UNAVAILABLE", facts: { sqlstate: "42P01" } });
});

describe("publishPolicy()", () => {
  it("stores a version with one signed snapshot for each region", async () => {
    const { version } = await publishSample(first, undefined, { comment: "first" });

    expect(version).toMatchObject({
      organisation: "acme",
      version: 1n,
      contentOf: 0n,
      comment: "first",
      publishedBy: expect.stringMatching(/./),
      snapshots: [
        { region: "eu", version: 1n },
        { region: "us", version: 1n },
      ],
    });
    const { rows } = await harness.pool.query("select region, content, digest, head from snapshot order by region");
    for (const row of rows) {
      const { text } = openNote(row.head, [verifier]);
      expect(parseHead(text)).toMatchObject({ kind: "snapshot", region: row.region, version: 1n });
      expect(Buffer.from(parseHead(text).digest)).toEqual(createHash("sha256").update(row.content).digest());
      expect(fromBinary(SnapshotSchema, row.content)).toMatchObject({ region: row.region, policyVersion: 1n });
    }
    expect(rows).toHaveLength(2);
  });

  it("gives each region a keyring with the first policy, so that routers can start without a key", async () => {
    await publishSample(first);

    const { rows } = await harness.pool.query("select region, version from keyring_head order by region");
    expect(rows).toEqual([
      { region: "eu", version: 1n },
      { region: "us", version: 1n },
    ]);
  });

  it("signs everything anew with another key, when it was given one, in versions that go on", async () => {
    await publishSample(first);
    const signer = createSigner("weir.test/next", new Uint8Array(32).fill(9));
    const rotated = await harness.start({ signer });

    await publishSample(rotated);

    const { rows } = await harness.pool.query(
      "select head from keyring_head where version = 2 union all select head from snapshot where version = 2",
    );
    expect(rows).toHaveLength(4);
    for (const { head } of rows) openNote(head, [parseVerifierKey(signer.verifierKey)]);
  });

  it("refuses a policy with errors, names each of them, and stores nothing", async () => {
    const error = await getRefusal(
      publishSample(first, (json) => {
        json.providers[0]!.baseUrl = "http://169.254.169.254";
        json.models[0]!.routes[0]!.target = "nowhere";
      }),
    );

    expect(error.reason).toBe("POLICY_REFUSED");
    expect(error.violations.map(({ field }) => field)).toEqual([
      "models[0].routes[0].target",
      "providers[0].base_url",
      "providers[0].base_url",
    ]);
    expect((await getRefusal(first.policies.getPolicy({}))).reason).toBe("NOT_FOUND");
  });

  it("refuses a policy with thousands of errors in an answer that fits, and says that there are more", async () => {
    const error = await getRefusal(
      publishSample(first, (json) => {
        json.models = Array.from({ length: 2_000 }, (_, index) => ({
          id: `m${index}`,
          routes: [{ target: "nowhere" }],
        }));
      }),
    );

    expect(error.reason).toBe("POLICY_REFUSED");
    expect(error.facts.errors).toBe("1001");
    expect(error.violations.length).toBeGreaterThan(10);
  });

  it("names no more errors than fit into an answer's trailers, however long they are", async () => {
    const error = await getRefusal(
      publishSample(first, (json) => {
        json.models = Array.from({ length: 100 }, (_, index) => ({
          id: `m${index}`,
          routes: [{ target: `openai-eu/${"x".repeat(80)}` }],
        }));
      }),
    );

    const sizes = error.violations.map(({ field, description }) => field.length + description.length);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(5_000);
    expect(sizes.length).toBeGreaterThan(10);
  });

  it("puts each version on record, with the policy before and after it and who wanted it", async () => {
    const versions = [await publishSample(first), await publishSample(first, (json) => json.limits.pop())];

    const { rows } = await harness.pool.query("select payload from outbox where lane = 'audit' order by position");
    const acts = rows.map(
      ({ payload }) => fromBinary(RecordSchema, fromBinary(AuditRecordedSchema, payload).record).act,
    );
    const changes = acts.flatMap(({ case: kind, value }) => (kind === "policyChange" ? [value] : []));
    const [one, two] = versions.map(({ version }) => ({ digest: version!.digest, actor: version!.publishedBy }));
    expect(changes).toMatchObject([
      { version: 1n, beforeDigest: new Uint8Array(), afterDigest: one!.digest, actor: one!.actor },
      { version: 2n, beforeDigest: one!.digest, afterDigest: two!.digest, actor: two!.actor },
    ]);
    expect(one!.digest).not.toEqual(two!.digest);
  });

  it("passes warnings on", async () => {
    const { findings } = await publishSample(first, (json) => {
      json.targets.push({ ...json.targets[0]!, id: "idle" });
    });

    expect(findings).toMatchObject([{ rule: "TARGET_UNUSED", severity: Severity.WARNING }]);
  });

  it("returns the same version when a request is repeated, at another instance too", async () => {
    const requestId = randomUUID();
    const made = await publishSample(first, undefined, { requestId });
    await publishSample(first);

    const repeated = await publishSample(second, undefined, { requestId, expectedVersion: 0n });

    expect(repeated.version).toEqual(made.version);
  });

  it("refuses another policy under a request id that was used", async () => {
    const requestId = randomUUID();
    await publishSample(first, undefined, { requestId });

    const error = await getRefusal(publishSample(first, (json) => json.limits.pop(), { requestId }));

    expect(error.reason).toBe("ALREADY_EXISTS");
  });

  it("refuses a writer who has not seen the latest version", async () => {
    await publishSample(first);
    await publishSample(second);

    const error = await getRefusal(publishSample(first, undefined, { expectedVersion: 1n }));

    expect(error).toMatchObject({ reason: "VERSION_CONFLICT", facts: { latest_version: "2" } });
    await publishSample(first, undefined, { expectedVersion: 2n });
  });

  it("lets one of two concurrent writers win who have seen the same version", async () => {
    await publishSample(first);

    const results = await Promise.allSettled(
      [first, second, first, second].map((instance) => publishSample(instance, undefined, { expectedVersion: 1n })),
    );

    expect(results.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  });

  it("gives a region that left the policy a snapshot without models, and its old one back when it returns", async () => {
    await publishSample(first);
    const { version } = await publishSample(first, (json) => {
      json.regions = [{ id: "us" }];
      json.providers[0]!.regions = ["us"];
      json.providers[1]!.regions = ["us"];
    });

    expect(version?.snapshots).toMatchObject([
      { region: "eu", version: 2n },
      { region: "us", version: 2n },
    ]);
    const { rows } = await harness.pool.query("select content from snapshot where region = 'eu' and version = 2");
    expect(fromBinary(SnapshotSchema, rows[0].content)).toMatchObject({ models: [], targets: [], providers: [] });
  });

  it("mints versions that only rise, without gap or repeat, however publishes and roll-backs interleave", async () => {
    await publishSample(first);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.boolean(), { minLength: 2, maxLength: 6 }), async (acts) => {
        const before = (await first.policies.getPolicy({})).version?.version as bigint;
        const made = await Promise.all(
          acts.map(async (isPublish, index) => {
            const instance = index % 2 === 0 ? first : second;
            const { version } = isPublish
              ? await publishSample(instance)
              : await instance.policies.rollBackPolicy({ requestId: randomUUID(), version: 1n });
            return version;
          }),
        );
        const versions = made.map((version) => version?.version as bigint).sort((a, b) => Number(a - b));
        expect(versions).toEqual(acts.map((_, index) => before + BigInt(index) + 1n));
        for (const version of made) {
          expect(version?.snapshots.map((snapshot) => snapshot.version)).toEqual([version?.version, version?.version]);
        }
      }),
      { numRuns: 8 },
    );
  });
});

describe("rollBackPolicy()", () => {
  it("makes a new version with the old content", async () => {
    await publishSample(first);
    await publishSample(first, (json) => json.limits.pop());

    const { version } = await second.policies.rollBackPolicy({ requestId: randomUUID(), version: 1n, comment: "oops" });

    expect(version).toMatchObject({
      version: 3n,
      contentOf: 1n,
      comment: "oops",
      snapshots: [{ version: 3n }, { version: 3n }],
    });
    const latest = await first.policies.getPolicy({});
    expect(latest.policy).toEqual(samplePolicy());
    expect(latest.version).toEqual(version);
  });

  it("touches no keyring", async () => {
    await publishSample(first);
    await publishSample(first);
    const count = async () => (await harness.pool.query("select count(*) from keyring_head")).rows[0].count;
    const before = await count();

    await first.policies.rollBackPolicy({ requestId: randomUUID(), version: 1n });

    expect(await count()).toBe(before);
  });

  it("returns the same version when a request is repeated", async () => {
    await publishSample(first);
    const requestId = randomUUID();
    const { version } = await first.policies.rollBackPolicy({ requestId, version: 1n });

    expect((await second.policies.rollBackPolicy({ requestId, version: 1n })).version).toEqual(version);
  });

  it("refuses a version that is not there, and a writer who has not seen the latest", async () => {
    await publishSample(first);

    const missing = await getRefusal(first.policies.rollBackPolicy({ requestId: randomUUID(), version: 9n }));
    const stale = await getRefusal(
      first.policies.rollBackPolicy({ requestId: randomUUID(), version: 1n, expectedVersion: 7n }),
    );

    expect([missing.reason, stale.reason]).toEqual(["NOT_FOUND", "VERSION_CONFLICT"]);
  });

  it("refuses an old content that today's rules refuse", async () => {
    await publishSample(first);
    await harness.pool.query("update policy_version set content = '\\x'::bytea");

    expect((await getRefusal(first.policies.rollBackPolicy({ requestId: randomUUID(), version: 1n }))).reason).toBe(
      "POLICY_REFUSED",
    );
  });
});

describe("PolicyService", () => {
  it("checks without storing", async () => {
    const { findings } = await first.policies.checkPolicy({
      policy: samplePolicy((json) => (json.organisation = "x")),
    });

    expect(findings).toMatchObject([{ field: "organisation", rule: "ORGANISATION_UNKNOWN" }]);
    expect((await first.policies.checkPolicy({})).findings.length).toBeGreaterThan(0);
    expect((await first.policies.listPolicyVersions({})).versions).toEqual([]);
  });

  it("lists versions newest first, page by page", async () => {
    for (let count = 0; count < 5; count++) await publishSample(first);
    const seen: bigint[] = [];
    let pageToken = "";
    do {
      const page = await second.policies.listPolicyVersions({ pageSize: 2, pageToken });
      expect(page.versions.length).toBeLessThanOrEqual(2);
      seen.push(...page.versions.map(({ version }) => version));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");

    expect(seen).toEqual([5n, 4n, 3n, 2n, 1n]);
  });

  it.each([
    "x",
    "bm9uc2Vuc2U",
    Buffer.from('["keys of acme","1"]').toString("base64url"),
    Buffer.from('["versions","1e3"]').toString("base64url"),
  ])("refuses the page token %s, which it never gave", async (pageToken) => {
    const error = await getRefusal(first.policies.listPolicyVersions({ pageToken }));

    expect(error).toMatchObject({ reason: "ARGUMENT_INVALID", violations: [{ field: "page_token" }] });
  });

  it("gives back the policy as it was published", async () => {
    await publishSample(first);

    const { policy } = await second.policies.getPolicy({ version: 1n });

    expect(policy).toEqual(samplePolicy());
    const { rows } = await harness.pool.query("select content, digest from policy_version");
    expect(fromBinary(PolicySchema, rows[0].content)).toEqual(policy);
    expect(createHash("sha256").update(rows[0].content).digest()).toEqual(rows[0].digest);
  });
});
