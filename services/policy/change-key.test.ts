import { createHash, randomUUID } from "node:crypto";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { getRefusal } from "../shared/errors/refusal.fixture.ts";
import { parseKey } from "../shared/key/key.ts";
import { openNote } from "../shared/note/note.ts";
import { KeyringTree } from "../shared/snapshot/digest.ts";
import { parseHead } from "../shared/snapshot/head.ts";
import {
  makeSampleKey,
  type PolicyHarness,
  publishSample,
  startHarness,
  type TestInstance,
  verifier,
} from "./harness.fixture.ts";
import { decodeGrant } from "./keys/grant.ts";

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

async function readGrant(keyId: string) {
  const { rows } = await harness.pool.query("select grant_bytes from keyring_entry where id = $1", [keyId]);
  return decodeGrant(rows[0].grant_bytes);
}

describe("makeKey()", () => {
  it("returns the secret once and keeps only its hash", async () => {
    await publishSample(first);

    const { key, secret } = await makeSampleKey(first);

    expect(parseKey(secret)).toEqual({ environment: "production", keyId: key?.keyId });
    const grant = await readGrant(key?.keyId as string);
    expect(grant.secretSha256s.map((hash) => Buffer.from(hash))).toEqual([
      createHash("sha256").update(secret).digest(),
    ]);
    const dump = await harness.pool.query(
      "select virtual_key::text, keyring_entry::text from virtual_key, keyring_entry",
    );
    const outbox = await harness.pool.query("select encode(payload, 'escape') as text from outbox");
    expect(JSON.stringify([dump.rows, outbox.rows])).not.toContain(secret.slice(-50, -8));
  });

  it("makes a next keyring that reproduces the digest signed for every region", async () => {
    await publishSample(first);

    await Promise.all([makeSampleKey(first), makeSampleKey(second), makeSampleKey(first)]);

    const entries = (await harness.pool.query("select id, grant_bytes as grant from keyring_entry")).rows;
    const heads = (await harness.pool.query("select head from keyring_head where version = 4")).rows;
    expect(entries).toHaveLength(3);
    expect(heads).toHaveLength(2);
    for (const { head } of heads) {
      const { digest, version } = parseHead(openNote(head, [verifier]).text);
      expect(version).toBe(4n);
      expect(Buffer.from(digest)).toEqual(Buffer.from(KeyringTree.EMPTY.apply(entries).digest()));
    }
  });

  it("returns the same key without its secret when a request is repeated", async () => {
    await publishSample(first);
    const requestId = randomUUID();
    const made = await makeSampleKey(first, { requestId });

    const repeated = await makeSampleKey(second, { requestId });

    expect(repeated).toMatchObject({ key: made.key, secret: "" });
  });

  it("refuses another key under a request id that was used", async () => {
    await publishSample(first);
    const requestId = randomUUID();
    await makeSampleKey(first, { requestId });

    const request = { requestId, organisation: "acme", team: "web", app: "search", environment: "test", models: ["*"] };
    expect((await getRefusal(first.keys.createKey(request))).reason).toBe("ALREADY_EXISTS");
  });

  const good = { organisation: "acme", team: "web", app: "search", environment: "test", models: ["large"] };
  it.each([
    ["organisation", { organisation: "nobody" }],
    ["team", { team: "ops" }],
    ["app", { app: "desk" }],
    ["environment", { environment: "stage" }],
    ["models[1]", { models: ["large", "huge"] }],
    ["models[1]", { models: ["large", "*"] }],
    ["models", { models: [] }],
    ["models", { models: ["large", "large"] }],
    ["expires_at", { expiresAt: timestampFromMs(1_000) }],
    ["expires_at", { expiresAt: { seconds: 253_402_300_800n, nanos: 0 } }],
    ["expires_at", { expiresAt: { seconds: 2n ** 62n, nanos: 0 } }],
    ["expires_at", { expiresAt: { seconds: 4_000_000_000n, nanos: -1 } }],
    ["requests_per_minute", { requestsPerMinute: -1 }],
    ["request_id", { requestId: "1" }],
    ["display_name", { displayName: "x".repeat(129) }],
    ["display_name", { displayName: "a\0b" }],
  ])("refuses a key with a wrong %s", async (field, change) => {
    await publishSample(first);

    const error = await getRefusal(first.keys.createKey({ requestId: randomUUID(), ...good, ...change }));

    expect(error).toMatchObject({ reason: "ARGUMENT_INVALID" });
    expect(error.violations.map((violation) => violation.field)).toContain(field);
  });

  it("refuses a key while no policy is published", async () => {
    expect((await getRefusal(makeSampleKey(first))).reason).toBe("ARGUMENT_INVALID");
  });
});

describe("revokeKey()", () => {
  it("names the version of each region's keyring from which the key is refused", async () => {
    await publishSample(first);
    const { key } = await makeSampleKey(first);

    const { keyrings, key: revoked } = await second.keys.revokeKey({
      requestId: randomUUID(),
      organisation: "acme",
      keyId: key?.keyId as string,
      etag: key?.etag as string,
    });

    expect(keyrings).toMatchObject([
      { region: "eu", version: 3n },
      { region: "us", version: 3n },
    ]);
    expect(revoked?.revokedAt).toBeDefined();
    expect(revoked?.etag).not.toBe(key?.etag);
    expect(await readGrant(key?.keyId as string)).toMatchObject({ secretSha256s: [], revokedAt: revoked?.revokedAt });
  });

  it("changes nothing when the key is revoked already, and names the same versions", async () => {
    await publishSample(first);
    const { key } = await makeSampleKey(first);
    const revoke = async (instance: TestInstance) =>
      await instance.keys.revokeKey({
        requestId: randomUUID(),
        organisation: "acme",
        keyId: key?.keyId as string,
        etag: key?.etag as string,
      });
    const done = await revoke(first);
    await makeSampleKey(first);

    expect(await revoke(second)).toEqual(done);
  });

  it("refuses a writer who has seen another state of the key", async () => {
    await publishSample(first);
    const { key } = await makeSampleKey(first);

    const error = await getRefusal(
      first.keys.revokeKey({
        requestId: randomUUID(),
        organisation: "acme",
        keyId: key?.keyId as string,
        etag: "other",
      }),
    );

    expect(error).toMatchObject({ reason: "VERSION_CONFLICT", facts: { etag: key?.etag } });
  });

  it("finds no key of another organisation", async () => {
    await publishSample(first);
    const { key } = await makeSampleKey(first);

    const error = await getRefusal(
      first.keys.revokeKey({ requestId: randomUUID(), organisation: "other", keyId: key?.keyId as string }),
    );

    expect(error.reason).toBe("NOT_FOUND");
  });

  it("survives a roll-back of the policy", async () => {
    await publishSample(first);
    const { key } = await makeSampleKey(first);
    await publishSample(first);
    await first.keys.revokeKey({ requestId: randomUUID(), organisation: "acme", keyId: key?.keyId as string });

    await first.policies.rollBackPolicy({ requestId: randomUUID(), version: 1n });

    const explained = await first.explain.explain({ region: "eu", keyId: key?.keyId as string, model: "large" });
    expect(explained.denied).toBe("KEY_REVOKED");
  });
});

describe("listKeys()", () => {
  it("lists keys newest first, page by page, without secrets", async () => {
    await publishSample(first);
    const made: (string | undefined)[] = [];
    for (let count = 0; count < 5; count++) made.push((await makeSampleKey(first)).key?.keyId);
    const seen: string[] = [];
    let pageToken = "";
    do {
      const page = await second.keys.listKeys({ organisation: "acme", pageSize: 2, pageToken });
      seen.push(...page.keys.map(({ keyId }) => keyId));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");

    expect(seen).toEqual(made.reverse());
    expect((await first.keys.listKeys({ organisation: "other" })).keys).toEqual([]);
  });
});

describe("ExplainService", () => {
  it("says what the region's routers would decide", async () => {
    await publishSample(first);
    const { key } = await makeSampleKey(first);
    const keyId = key?.keyId as string;

    const eu = await second.explain.explain({ region: "eu", keyId, model: "any" });
    const us = await second.explain.explain({ region: "us", keyId, model: "any" });
    const unknown = await second.explain.explain({ region: "us", keyId, model: "none" });
    const stranger = await second.explain.explain({ region: "us", keyId: "aaaaaaaaaaaa", model: "any" });

    expect(eu).toMatchObject({
      denied: "",
      limits: ["each-key", "web"],
      candidates: [{ target: "local/small" }, { target: "global/large" }],
      versions: { snapshotVersion: 1n, keyringVersion: 2n },
    });
    expect(us.candidates).toMatchObject([{ target: "global/large" }]);
    expect([unknown.denied, stranger.denied]).toEqual(["MODEL_UNKNOWN", "KEY_UNKNOWN"]);
    expect((await getRefusal(second.explain.explain({ region: "asia", keyId, model: "any" }))).reason).toBe(
      "NOT_FOUND",
    );
  });
});
