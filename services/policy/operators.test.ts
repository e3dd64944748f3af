// What handlers refuse to operators whose roles hold in one organisation or environment; the gate before them is tested in shared/mesh.
import { randomUUID } from "node:crypto";
import { createClient } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CredentialService } from "../../gen/weir/policy/v1/credential_service_pb.ts";
import { ExplainService } from "../../gen/weir/policy/v1/explain_service_pb.ts";
import { KeyService, KeyState } from "../../gen/weir/policy/v1/key_service_pb.ts";
import { PolicyService } from "../../gen/weir/policy/v1/policy_service_pb.ts";
import { ReleaseService } from "../../gen/weir/policy/v1/release_service_pb.ts";
import { TenantService } from "../../gen/weir/policy/v1/tenant_service_pb.ts";
import { createTestOperators } from "../shared/authority/operators.fixture.ts";
import { tell } from "../shared/errors/refusal.fixture.ts";
import { createMeshTransport } from "../shared/mesh/client.ts";
import {
  makeSampleKey,
  type PolicyHarness,
  publishSample,
  startHarness,
  type TestInstance,
} from "./harness.fixture.ts";

const EVERY = ["ROLE_PUBLISHER", "ROLE_KEY_MANAGER", "ROLE_AUDITOR", "ROLE_CREDENTIAL_MANAGER"];
const { authority, tokens } = createTestOperators({
  acme: [{ roles: EVERY, organisation: "acme" }],
  acmeTest: [{ roles: EVERY, organisation: "acme", environment: "test" }],
  /** Sees all keys of acme, and changes those of one environment. */
  split: [
    { roles: ["ROLE_VIEWER"], organisation: "acme" },
    { roles: ["ROLE_KEY_MANAGER"], organisation: "acme", environment: "test" },
  ],
  other: [{ roles: EVERY, organisation: "other" }],
  everywhere: [{ roles: EVERY, organisation: "*" }],
});
type Operator = keyof typeof tokens;

const ABSENT = "aaaaaaaaaaaa";
const TENANT = { organisation: "acme", team: "web", app: "search", environment: "test" };
const FOREIGN = { organisation: "other", team: "ops", app: "desk", environment: "test" };
let harness: PolicyHarness;
let admin: TestInstance;
let as: Record<Operator, ReturnType<typeof connect>>;
/** Ids of keys: of acme's production and test, and of the other organisation. */
let production: string;
let test: string;
let foreign: string;

beforeAll(async () => {
  harness = await startHarness();
  await harness.reset();
  const [first, { address }] = await Promise.all([harness.start(), harness.start({ authority })]);
  admin = first;
  as = Object.fromEntries(Object.entries(tokens).map(([name, token]) => [name, connect(address, token)])) as typeof as;
  await publishSample(admin);
  production = (await makeSampleKey(admin)).key?.keyId as string;
  test = (await admin.keys.createKey(ask(TENANT))).key?.keyId as string;
  foreign = (await admin.keys.createKey(ask(FOREIGN))).key?.keyId as string;
  for (const tenant of ["acme/web", "other/ops"]) {
    await admin.tenants.disableTenant({ requestId: randomUUID(), tenant });
  }
}, 60_000);

afterAll(async () => {
  for (const { close } of Object.values(as ?? {})) close();
  await harness.stop();
});

function connect(address: string, token: string) {
  const transport = createMeshTransport({ addresses: [address], token: () => token });
  return {
    keys: createClient(KeyService, transport),
    tenants: createClient(TenantService, transport),
    credentials: createClient(CredentialService, transport),
    policies: createClient(PolicyService, transport),
    releases: createClient(ReleaseService, transport),
    explain: createClient(ExplainService, transport),
    close: () => transport.close(),
  };
}

const ask = (tenant: typeof TENANT, rest: { requestId?: string } = {}) => ({
  requestId: randomUUID(),
  displayName: "key",
  models: ["*"],
  ...tenant,
  ...rest,
});

const KEY_ACTS = {
  getKey: (who: Operator, organisation: string, keyId: string) => as[who].keys.getKey({ organisation, keyId }),
  updateKey: (who: Operator, organisation: string, keyId: string) =>
    as[who].keys.updateKey({
      requestId: randomUUID(),
      organisation,
      keyId,
      settings: { displayName: "changed" },
      updateMask: { paths: ["display_name"] },
    }),
  rotateKey: (who: Operator, organisation: string, keyId: string) =>
    as[who].keys.rotateKey({ requestId: randomUUID(), organisation, keyId }),
  disableKey: (who: Operator, organisation: string, keyId: string) =>
    as[who].keys.disableKey({ requestId: randomUUID(), organisation, keyId }),
  enableKey: (who: Operator, organisation: string, keyId: string) =>
    as[who].keys.enableKey({ requestId: randomUUID(), organisation, keyId }),
  revokeKey: (who: Operator, organisation: string, keyId: string) =>
    as[who].keys.revokeKey({ requestId: randomUUID(), organisation, keyId }),
};

describe.each(Object.entries(KEY_ACTS))("%s", (name, act) => {
  it("answers for a key of another environment or organisation as for one that is not there, and leaves it as it is", async () => {
    const before = await Promise.all([stateOf("acme", production), stateOf("other", foreign)]);
    const rows: [Operator, string, string][] = [
      ["acmeTest", "acme", production],
      ["acmeTest", "acme", foreign],
      ["acme", "acme", foreign],
      ["other", "other", production],
    ];

    for (const [who, organisation, id] of rows) {
      const told = await tell(act(who, organisation, id), id);
      expect(told, `${who} ${id}`).toBe(await tell(act(who, organisation, ABSENT), ABSENT));
      expect(told).toContain("NOT_FOUND");
    }

    expect(await Promise.all([stateOf("acme", production), stateOf("other", foreign)])).toEqual(before);
  });

  it("refuses another organisation in the same words whether it, or its key, is there or not", async () => {
    const there = await tell(act("acme", "other", foreign), "other");

    expect(there).toContain("PERMISSION_DENIED");
    expect(there).toBe(await tell(act("acme", "nowhere", foreign), "nowhere"));
    expect(there).toBe(await tell(act("acme", "other", ABSENT), "other"));
  });

  it("lets an operator of an environment act on its keys, and one who only sees the others see them", async () => {
    const { key } = await admin.keys.createKey(ask(TENANT));

    expect(await tell(act("acmeTest", "acme", key?.keyId as string))).toBe("OK");
    const split = await tell(act("split", "acme", production), production);
    expect(split).toBe(name === "getKey" ? "OK" : await tell(act("split", "acme", ABSENT), ABSENT));
  });
});

async function stateOf(organisation: string, keyId: string): Promise<string | undefined> {
  return (await admin.keys.getKey({ organisation, keyId })).key?.etag;
}

describe("keys", () => {
  it("are listed to an operator of an environment when it is that one which they ask for", async () => {
    const { keys } = await as.acmeTest.keys.listKeys({ organisation: "acme", environment: "test" });
    const refused = [{}, { environment: "production" }, { environment: "nowhere" }].map((filter) =>
      tell(as.acmeTest.keys.listKeys({ organisation: "acme", ...filter })),
    );

    expect(keys.map(({ keyId }) => keyId)).toContain(test);
    expect(new Set(keys.map(({ organisation, environment }) => `${organisation}/${environment}`))).toEqual(
      new Set(["acme/test"]),
    );
    for (const told of await Promise.all(refused)) expect(told).toContain("PERMISSION_DENIED");
  });

  it("go on from a page of another operator only as far as one may see", async () => {
    const { nextPageToken: pageToken } = await admin.keys.listKeys({ organisation: "acme", pageSize: 1 });

    expect(await tell(as.acmeTest.keys.listKeys({ organisation: "acme", environment: "test", pageToken }))).toContain(
      "page_token",
    );
  });

  it("are made all or none: a batch that goes beyond the operator's environment or organisation makes none", async () => {
    const count = async () => (await harness.pool.query("select count(*)::int as n from virtual_key")).rows[0].n;
    const before = await count();
    const batches = [{ ...TENANT, environment: "production" }, { ...TENANT, environment: "nowhere" }, FOREIGN].map(
      (tenant) => [ask(TENANT), ask(tenant)],
    );

    for (const requests of batches) {
      expect(await tell(as.acmeTest.keys.batchCreateKeys({ requests }))).toContain("PERMISSION_DENIED");
      expect(await tell(as.acmeTest.keys.createKey(requests[1] as (typeof requests)[0]))).toContain(
        "PERMISSION_DENIED",
      );
    }

    expect(await count()).toBe(before);
    expect(await tell(as.acmeTest.keys.batchCreateKeys({ requests: [ask(TENANT), ask(TENANT)] }))).toBe("OK");
  });
});

// So no answer tells which ids others have used.
describe("a request id of another operator", () => {
  it("makes a key of one's own, and each operator's repeat finds their own", async () => {
    const requestId = randomUUID();
    const theirs = await admin.keys.createKey(ask(FOREIGN, { requestId }));

    const own = await as.acmeTest.keys.createKey(ask(TENANT, { requestId }));

    expect(own).toMatchObject({ key: { organisation: "acme" }, secret: expect.stringMatching(/./) });
    expect(await as.acmeTest.keys.createKey(ask(TENANT, { requestId }))).toEqual({ ...own, secret: "" });
    expect(await admin.keys.createKey(ask(FOREIGN, { requestId }))).toEqual({ ...theirs, secret: "" });
  });

  it("changes a key of one's own", async () => {
    const requestId = randomUUID();
    const [theirs, own] = await Promise.all([makeSampleKey(admin), admin.keys.createKey(ask(TENANT))]);
    const disable = ({ keys }: Pick<TestInstance, "keys">, { key }: typeof own) =>
      keys.disableKey({ requestId, organisation: "acme", keyId: key?.keyId as string });
    await disable(admin, theirs);

    expect((await disable(as.acmeTest, own)).key?.state).toBe(KeyState.DISABLED);
  });

  it("publishes a version of one's own, and each operator's repeat finds their own", async () => {
    const requestId = randomUUID();
    const { version: theirs } = await publishSample(admin, undefined, { requestId });

    const { version: own } = await publishSample(as.everywhere, (json) => json.limits.pop(), { requestId });

    expect(own?.version).toBe((theirs?.version ?? 0n) + 1n);
    expect((await publishSample(admin, undefined, { requestId })).version).toEqual(theirs);
  });
});

describe("tenants", () => {
  it("are disabled and enabled within the organisation of an operator only, and by none of one environment", async () => {
    const rows: [Operator, string][] = [
      ["acmeTest", "acme"],
      ["acmeTest", "acme/web/search"],
      ["acme", "other/ops"],
      ["other", "acme/web"],
      ["acme", "nowhere"],
    ];

    for (const [who, tenant] of rows) {
      const request = { requestId: randomUUID(), tenant };
      expect(await tell(as[who].tenants.disableTenant(request)), `${who} ${tenant}`).toContain("PERMISSION_DENIED");
      expect(await tell(as[who].tenants.enableTenant(request)), `${who} ${tenant}`).toContain("PERMISSION_DENIED");
    }
    const disable = (tenant: string) =>
      tell(as.acme.tenants.disableTenant({ requestId: randomUUID(), tenant }), tenant);
    expect(await disable("other/ops")).toBe((await disable("nowhere/ops")).replaceAll("nowhere", "other"));
  });

  it("are listed of the operator's organisation only", async () => {
    const { tenants } = await as.acme.tenants.listDisabledTenants({ organisation: "acme" });

    expect(tenants.map(({ tenant }) => tenant)).toEqual(["acme/web"]);
    expect(await tell(as.acme.tenants.listDisabledTenants({ organisation: "other" }), "other")).toBe(
      await tell(as.acme.tenants.listDisabledTenants({ organisation: "nowhere" }), "nowhere"),
    );
    expect(await tell(as.acmeTest.tenants.listDisabledTenants({ organisation: "acme" }))).toContain(
      "PERMISSION_DENIED",
    );
  });
});

describe("credentials", () => {
  const set = (who: Operator | "admin", organisation: string, requestId: string = randomUUID()) => {
    const { credentials } = who === "admin" ? admin : as[who];
    const envelope = {
      organisation,
      name: "upstream",
      region: "eu",
      version: 1n,
      origins: ["https://api.example.com"],
    };
    const sealed = [
      {
        ...envelope,
        keyId: "k",
        wrappedKey: new Uint8Array(32),
        nonce: new Uint8Array(12),
        ciphertext: new Uint8Array(32),
      },
    ];
    return credentials.setCredential({ requestId, organisation, name: "upstream", sealed });
  };

  it("of another organisation are neither seen nor changed, in the same words whether they are there or not", async () => {
    const requestId = randomUUID();
    await set("admin", "acme", requestId);
    const acts = (who: Operator, organisation: string) => [
      as[who].credentials.listCredentials({ organisation }),
      as[who].credentials.listCredentials({ organisation, name: "upstream" }),
      as[who].credentials.deleteCredential({ requestId: randomUUID(), organisation, name: "upstream" }),
      set(who, organisation),
    ];
    const tellAll = (who: Operator, organisation: string) =>
      Promise.all(acts(who, organisation).map((act) => tell(act, organisation)));

    const told = await tellAll("other", "acme");

    for (const each of [...told, ...(await tellAll("acmeTest", "acme"))]) expect(each).toContain("PERMISSION_DENIED");
    expect(told).toEqual(await tellAll("other", "nowhere"));
    expect((await as.acme.credentials.listCredentials({ organisation: "acme" })).credentials).toHaveLength(1);
    const anew = await tell(set("other", "other"));
    expect(anew).not.toMatch(/OK|acme/);
    // An id that another operator used tells nothing.
    expect(await tell(set("other", "other", requestId))).toBe(anew);
    // Nor is it a repeat, but a request to set version 1 again.
    expect(await tell(set("everywhere", "acme", requestId))).toContain("VERSION_CONFLICT");
  });
});

describe("what belongs to the whole mesh", () => {
  it("is refused to operators of one organisation, in the same words whether it is there or not", async () => {
    const acts = ({ policies, releases, explain }: (typeof as)["acme"], version: bigint) => [
      policies.getPolicy({ version }),
      policies.listPolicyVersions({}),
      policies.diffPolicy({ againstVersion: version }),
      policies.checkPolicy({}),
      policies.publishPolicy({ requestId: randomUUID() }),
      policies.rollBackPolicy({ requestId: randomUUID(), version }),
      releases.getRelease({ policyVersion: version }),
      releases.watchRelease({ policyVersion: version })[Symbol.asyncIterator]().next(),
      releases.haltRelease({ requestId: randomUUID(), policyVersion: version }),
      releases.listInstances({}),
      explain.explain({ region: "eu", snapshotVersion: version, keyId: version === 1n ? test : ABSENT, model: "any" }),
    ];

    for (const who of ["acme", "acmeTest", "other"] as const) {
      const told = await Promise.all(acts(as[who], 1n).map((act) => tell(act)));
      for (const each of told) expect(each).toContain("PERMISSION_DENIED");
      expect(told).toEqual(await Promise.all(acts(as[who], 99n).map((act) => tell(act))));
    }
  });
});
