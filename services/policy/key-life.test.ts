import { randomUUID } from "node:crypto";
import { fromBinary } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { KeyChange, RecordSchema } from "../../gen/weir/audit/v1/record_pb.ts";
import { AuditRecordedSchema } from "../../gen/weir/event/v1/audit_recorded_pb.ts";
import { type Key, KeyState } from "../../gen/weir/policy/v1/key_service_pb.ts";
import { listSecrets } from "../shared/decision/key-secrets.ts";
import { getRefusal } from "../shared/errors/refusal.fixture.ts";
import { hashKey } from "../shared/key/key.ts";
import { fillKeyIndex } from "./fill-key-index.ts";
import {
  makeSampleKey,
  type PolicyHarness,
  publishSample,
  startHarness,
  type TestInstance,
} from "./harness.fixture.ts";
import { decodeGrant, digestGrant } from "./keys/grant.ts";

let harness: PolicyHarness;
let policy: TestInstance;
let other: TestInstance;

beforeAll(async () => {
  harness = await startHarness();
  await harness.reset();
  [policy, other] = await Promise.all([harness.start(), harness.start()]);
  await publishSample(policy);
}, 60_000);
afterAll(() => harness.stop());

async function make(): Promise<{ key: Key; secret: string }> {
  const { key, secret } = await makeSampleKey(policy);
  return { key: key as Key, secret };
}

/** What each change of `key` is asked with. */
function ask({ keyId }: Key, rest: { requestId?: string; etag?: string; comment?: string } = {}) {
  return { requestId: randomUUID(), organisation: "acme", keyId, ...rest };
}

async function readGrant({ keyId }: Key) {
  const { rows } = await harness.pool.query("select grant_bytes from keyring_entry where id = $1", [keyId]);
  return decodeGrant(rows[0].grant_bytes);
}

async function readSecrets(key: Key): Promise<string[]> {
  return listSecrets(await readGrant(key)).map(({ sha256 }) => Buffer.from(sha256).toString("hex"));
}

const hex = (secret: string): string => Buffer.from(hashKey(secret)).toString("hex");

describe("updateKey()", () => {
  it("sets what the mask names, clears what is absent, and leaves the rest", async () => {
    const { key } = await make();
    const settings = { displayName: "ci", labels: { agent: "nightly", tier: "2" }, regions: ["us"], models: ["large"] };
    const paths = ["display_name", "labels", "regions"];

    const updated = await policy.keys.updateKey({ ...ask(key), settings, updateMask: { paths } });
    const cleared = await other.keys.updateKey({ ...ask(key), settings: {}, updateMask: { paths: ["regions"] } });

    const { displayName, labels, regions } = settings;
    expect(updated.key).toMatchObject({ displayName, labels, regions, models: ["*"] });
    expect(cleared.key).toMatchObject({ displayName, labels, regions: [] });
    expect(new Set([key.etag, updated.key?.etag, cleared.key?.etag]).size).toBe(3);
    expect(cleared.keyrings.map(({ version }) => version)).toEqual(updated.keyrings.map(({ version }) => version + 1n));
  });

  it("changes nothing when a request is repeated, though another writer came between", async () => {
    const { key } = await make();
    const request = { ...ask(key), settings: { displayName: "first" }, updateMask: { paths: ["display_name"] } };
    await policy.keys.updateKey(request);
    const second = { ...ask(key), settings: { displayName: "second" }, updateMask: { paths: ["display_name"] } };
    await policy.keys.updateKey(second);

    const repeated = await other.keys.updateKey(request);

    expect(repeated.key?.displayName).toBe("second");
  });

  it("refuses another change under a request id that was used", async () => {
    const { key } = await make();
    const { requestId } = ask(key);
    await policy.keys.disableKey(ask(key, { requestId }));

    expect((await getRefusal(policy.keys.enableKey(ask(key, { requestId })))).reason).toBe("ALREADY_EXISTS");
  });

  it("refuses a writer who has seen another state, also of the name", async () => {
    const { key } = await make();
    const name = { settings: { displayName: "x" }, updateMask: { paths: ["display_name"] } };
    await policy.keys.updateKey({ ...ask(key, { etag: key.etag }), ...name });

    const error = await getRefusal(other.keys.updateKey({ ...ask(key, { etag: key.etag }), ...name }));

    expect(error.reason).toBe("VERSION_CONFLICT");
  });

  it.each([
    ["settings.models[0]", { models: ["huge"] }, ["models"]],
    ["settings.models", {}, ["models"]],
    ["settings.regions[0]", { regions: ["moon"] }, ["regions"]],
    ["settings.expires_at", { expiresAt: timestampFromMs(1_000) }, ["expires_at"]],
    ["settings.strict_after", { strictAfter: durationFromMs(14_999) }, ["strict_after"]],
    ['settings.labels["A b"]', { labels: { "A b": "c" } }, ["labels"]],
    ["settings.tools.names[0]", { tools: { names: ["a b"] } }, ["tools"]],
    ["update_mask", {}, []],
    ["update_mask.paths[0]", {}, ["organisation"]],
    ["update_mask.paths[1]", {}, ["labels", "labels"]],
  ])("refuses a wrong %s", async (field, settings, paths) => {
    const { key } = await make();

    const error = await getRefusal(policy.keys.updateKey({ ...ask(key), settings, updateMask: { paths } }));

    expect(error).toMatchObject({ reason: "ARGUMENT_INVALID" });
    expect(error.violations.map((violation) => violation.field)).toContain(field);
  });
});

describe("rotateKey()", () => {
  it("shows a new secret once; the one before is good for the overlap, and an older one no longer", async () => {
    const { key, secret: first } = await make();
    const second = await policy.keys.rotateKey({ ...ask(key), overlap: durationFromMs(3_600_000) });
    expect(await readSecrets(key)).toEqual([hex(second.secret), hex(first)]);
    expect((await readGrant(key)).secretSha256s).toHaveLength(1);

    const request = ask(key);
    const third = await policy.keys.rotateKey(request);

    const secrets = await readSecrets(key);
    expect(secrets).toEqual([hex(third.secret), hex(second.secret)]);
    const { rotatedAt, oldSecretExpiresAt } = third.key as Key;
    expect(timestampMs(oldSecretExpiresAt!) - timestampMs(rotatedAt!)).toBe(86_400_000);
    const repeated = await other.keys.rotateKey(request);
    expect(repeated).toMatchObject({ secret: "", key: { etag: third.key?.etag } });
    expect(await readSecrets(key)).toEqual(secrets);
  });

  it("ends the secret before at once when there is no overlap", async () => {
    const { key } = await make();

    const rotated = await policy.keys.rotateKey({ ...ask(key), overlap: durationFromMs(0) });

    expect(await readSecrets(key)).toEqual([hex(rotated.secret)]);
    expect(rotated.key?.oldSecretExpiresAt).toBeUndefined();
  });
});

describe("disableKey()", () => {
  it("hides the secrets from routers that do not know of disabled keys, and enableKey() brings them back", async () => {
    const { key, secret } = await make();

    const disabled = await policy.keys.disableKey(ask(key, { etag: key.etag }));
    expect(disabled.key).toMatchObject({ state: KeyState.DISABLED });
    expect(await readGrant(key)).toMatchObject({ secretSha256s: [], secrets: [{}] });
    expect((await policy.explain.explain({ region: "eu", keyId: key.keyId, model: "any" })).denied).toBe(
      "KEY_DISABLED",
    );
    expect((await other.keys.disableKey(ask(key))).keyrings).toEqual(disabled.keyrings);

    const enabled = await other.keys.enableKey(ask(key));
    expect(enabled.key).toMatchObject({ state: KeyState.ACTIVE, etag: key.etag });
    expect((await readGrant(key)).secretSha256s.map((sha256) => Buffer.from(sha256).toString("hex"))).toEqual([
      hex(secret),
    ]);
  });

  it("is not possible for a revoked key, nor is any other change", async () => {
    const { key } = await make();
    await policy.keys.revokeKey(ask(key));

    const changes = [
      policy.keys.disableKey(ask(key)),
      policy.keys.enableKey(ask(key)),
      policy.keys.rotateKey(ask(key)),
      policy.keys.updateKey({ ...ask(key), settings: {}, updateMask: { paths: ["labels"] } }),
    ];
    for (const refused of await Promise.all(changes.map(getRefusal))) expect(refused.reason).toBe("ARGUMENT_INVALID");
    expect((await policy.keys.getKey(ask(key))).key).toMatchObject({ state: KeyState.REVOKED });
  });
});

describe("the record of changes", () => {
  it("has each change with the grant before and after, one after the other, and who asked why", async () => {
    const { key } = await make();
    await policy.keys.updateKey({ ...ask(key), settings: { labels: { a: "b" } }, updateMask: { paths: ["labels"] } });
    await policy.keys.rotateKey(ask(key));
    await policy.keys.disableKey(ask(key));
    await policy.keys.enableKey(ask(key));
    await policy.keys.revokeKey(ask(key, { comment: "leaked" }));

    const { rows } = await harness.pool.query("select payload from outbox where lane = 'audit' order by position");
    const acts = rows.flatMap(({ payload }) => {
      const { act } = fromBinary(RecordSchema, fromBinary(AuditRecordedSchema, payload).record);
      return act.case === "keyChange" && act.value.keyId === key.keyId ? [act.value] : [];
    });
    const { CREATED, UPDATED, ROTATED, DISABLED, ENABLED, REVOKED } = KeyChange;
    expect(acts.map(({ change }) => change)).toEqual([CREATED, UPDATED, ROTATED, DISABLED, ENABLED, REVOKED]);
    for (const [index, { beforeDigest }] of acts.entries()) {
      expect(beforeDigest).toEqual(acts[index - 1]?.afterDigest ?? new Uint8Array());
    }
    const now = await harness.pool.query("select grant_bytes from keyring_entry where id = $1", [key.keyId]);
    expect(acts.at(-1)?.comment).toBe("leaked");
    expect(Buffer.from(acts.at(-1)!.afterDigest)).toEqual(Buffer.from(digestGrant(now.rows[0].grant_bytes)));
  });
});

describe("batchCreateKeys()", () => {
  const one = (rest: { team?: string; organisation?: string; displayName?: string } = {}) => ({
    requestId: randomUUID(),
    organisation: "acme",
    team: "web",
    app: "search",
    environment: "test",
    models: ["*"],
    ...rest,
  });

  it("makes a thousand keys with one keyring, and the same again when repeated", async () => {
    const before = (await harness.pool.query("select max(version) as version from keyring")).rows[0].version;
    const requests = Array.from({ length: 1_000 }, (_, index) => one({ displayName: `key ${index}` }));

    const { keys } = await policy.keys.batchCreateKeys({ requests });

    const after = (await harness.pool.query("select max(version) as version from keyring")).rows[0].version;
    expect(after).toBe(before + 1n);
    expect(keys.map(({ key }) => key?.displayName)).toEqual(requests.map(({ displayName }) => displayName));
    expect(new Set(keys.map(({ secret }) => secret)).size).toBe(1_000);
    const repeated = await other.keys.batchCreateKeys({ requests });
    expect(repeated.keys.map(({ key }) => key?.keyId)).toEqual(keys.map(({ key }) => key?.keyId));
    expect(repeated.keys.every(({ secret }) => secret === "")).toBe(true);
  });

  it.each([
    ["requests[1].team", [one(), one({ team: "nobody" })]],
    ["requests[1].organisation", [one(), one({ organisation: "other" })]],
  ])("makes none when %s is wrong", async (field, requests) => {
    const error = await getRefusal(policy.keys.batchCreateKeys({ requests }));

    expect(error.violations.map((violation) => violation.field)).toContain(field);
    const ids = requests.map(({ requestId }) => requestId);
    expect((await harness.pool.query("select 1 from virtual_key where request_id = any($1)", [ids])).rows).toEqual([]);
  });

  it("refuses a request id that stands there twice", async () => {
    const request = one();

    expect((await getRefusal(policy.keys.batchCreateKeys({ requests: [request, request] }))).reason).toBe(
      "ARGUMENT_INVALID",
    );
  });
});

describe("listKeys()", () => {
  it("finds keys by team, app, environment, label and state, each page by page", async () => {
    const labels = { batch: randomUUID(), kind: "x" };
    const made: Key[] = [];
    for (const environment of ["test", "test", "production", "test", "test"]) {
      const expiresAt = made.length === 3 ? { expiresAt: timestampFromMs(Date.now() + 3_600_000) } : {};
      const { key } = await policy.keys.createKey({
        ...{ requestId: randomUUID(), organisation: "acme", team: "web", app: "search", models: ["*"] },
        ...{ environment, labels, ...expiresAt },
      });
      made.push(key as Key);
    }
    const [active, disabled, production, expired, revoked] = made as [Key, Key, Key, Key, Key];
    await policy.keys.disableKey(ask(disabled));
    await policy.keys.revokeKey(ask(revoked));
    await harness.pool.query("update virtual_key set expires_at = now() where key_id = $1", [expired.keyId]);

    const find = async (filter: object): Promise<string[]> => {
      const ids: string[] = [];
      let pageToken = "";
      do {
        const asked = { organisation: "acme", labels: { batch: labels.batch }, pageSize: 2, pageToken, ...filter };
        const page = await other.keys.listKeys(asked);
        ids.push(...page.keys.map(({ keyId }) => keyId));
        pageToken = page.nextPageToken;
      } while (pageToken !== "");
      return ids;
    };
    const ids = (...keys: Key[]) => keys.map(({ keyId }) => keyId);
    expect(await find({})).toEqual(ids(...made).reverse());
    expect(await find({ environment: "production" })).toEqual(ids(production));
    expect(await find({ team: "web", app: "search", environment: "test", state: KeyState.ACTIVE })).toEqual(
      ids(active),
    );
    expect(await find({ state: KeyState.DISABLED })).toEqual(ids(disabled));
    expect(await find({ state: KeyState.EXPIRED })).toEqual(ids(expired));
    expect(await find({ state: KeyState.REVOKED })).toEqual(ids(revoked));
    expect(await find({ labels: { ...labels, kind: "y" } })).toEqual([]);
    expect(await find({ team: "ops" })).toEqual([]);
  });

  it("finds keys that a build of before the index made, once they are completed", async () => {
    const { key } = await make();
    await harness.pool.query("update virtual_key set team = null, labels = null where key_id = $1", [key.keyId]);
    const newest = async () => (await policy.keys.listKeys({ organisation: "acme", team: "web", pageSize: 1 })).keys[0];
    expect((await newest())?.keyId).not.toBe(key.keyId);

    await fillKeyIndex(harness.pool, AbortSignal.timeout(5_000));

    expect((await newest())?.keyId).toBe(key.keyId);
  });
});

describe("TenantService", () => {
  const change = (tenant: string) => ({ requestId: randomUUID(), tenant, comment: "unpaid" });

  it("disables the keys below a tenant until it is enabled again, and lists it meanwhile", async () => {
    const { key } = await make();
    const explain = async () => (await policy.explain.explain({ region: "eu", keyId: key.keyId, model: "any" })).denied;

    const { keyrings } = await policy.tenants.disableTenant(change("acme/web"));
    expect(await explain()).toBe("TENANT_DISABLED");
    expect((await other.tenants.disableTenant(change("acme/web"))).keyrings).toEqual(keyrings);
    await policy.tenants.disableTenant(change("acme/web/search"));
    const first = await other.tenants.listDisabledTenants({ organisation: "acme", pageSize: 1 });
    const { nextPageToken: pageToken } = first;
    const second = await other.tenants.listDisabledTenants({ organisation: "acme", pageSize: 1, pageToken });
    expect([first, second].map(({ tenants }) => tenants[0]?.tenant)).toEqual(["acme/web", "acme/web/search"]);
    expect(second.nextPageToken).toBe("");

    await other.tenants.enableTenant(change("acme/web"));
    expect(await explain()).toBe("TENANT_DISABLED");
    await other.tenants.enableTenant(change("acme/web/search"));
    await other.tenants.enableTenant(change("acme/web/search"));
    expect(await explain()).toBe("");
    expect((await policy.tenants.listDisabledTenants({ organisation: "acme" })).tenants).toEqual([]);
  });

  it("disables one that the policy has no longer, as long as keys of it are honoured", async () => {
    const { key } = await make();
    await publishSample(policy, (json) => {
      for (const { teams } of json.organisations) for (const team of teams) team.id = "site";
      json.limits.pop();
    });

    await policy.tenants.disableTenant(change("acme/web/search"));

    const { denied } = await policy.explain.explain({ region: "eu", keyId: key.keyId, model: "any" });
    expect(denied).toBe("TENANT_DISABLED");
    expect((await getRefusal(policy.tenants.disableTenant(change("acme/desk")))).reason).toBe("ARGUMENT_INVALID");
    await policy.tenants.enableTenant(change("acme/web/search"));
    await publishSample(policy);
  });

  it.each(["nobody", "acme/none", "acme/web/none", "acme/web/search/production", "Acme"])(
    "refuses %s",
    async (tenant) => {
      expect((await getRefusal(policy.tenants.disableTenant(change(tenant)))).reason).toBe("ARGUMENT_INVALID");
    },
  );
});
