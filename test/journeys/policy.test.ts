import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CALL_OPTIONS } from "../../cli/control-plane.ts";
import { KeyChange } from "../../gen/weir/audit/v1/record_pb.ts";
import { ExplainService } from "../../gen/weir/policy/v1/explain_service_pb.ts";
import { PolicyService } from "../../gen/weir/policy/v1/policy_service_pb.ts";
import { SnapshotPhase } from "../../gen/weir/policy/v1/snapshot_service_pb.ts";
import { fromConnectError } from "../../services/shared/errors/wire.ts";
import { DEMO_TENANT, type Mesh, startMesh } from "../mesh.ts";
import { askPolicy, askRouter, changePolicy, publishPolicy, readStatus, revokeKey } from "../policies.ts";
import { readLog, waitFor } from "../records.ts";

// The life of a policy: checked, published, applied in every region, rolled back; beside it the life of a key; and all of it on
// record. The tests are one story and run in their order.

const REGIONS = ["eu", "us"] as const;
let mesh: Mesh;
let published: bigint;
let key: { keyId: string; secret: string };

beforeAll(async () => {
  mesh = await startMesh({ name: "policy" });
});

afterAll(() => mesh?.stop());

describe("the life of a policy", () => {
  it("begins with a check that says all that is wrong at once", async () => {
    const policy = changePolicy(mesh, (json) => {
      json.providers[0]!.baseUrl = "http://metadata.google.internal/v1?key=1";
      json.targets[0]!.provider = "nobody";
      json.models[0]!.routes[1]!.target = "nowhere";
    });

    const { findings } = await askPolicy(mesh, PolicyService, (client) => client.checkPolicy({ policy }, CALL_OPTIONS));

    expect(findings.map(({ field, rule }) => `${field} ${rule}`)).toEqual(
      expect.arrayContaining([
        "models[0].routes[1].target TARGET_UNKNOWN",
        "providers[0].base_url URL_ADDRESS",
        "providers[0].base_url URL_QUERY",
        "providers[0].base_url URL_SCHEME",
        "targets[0].provider PROVIDER_UNKNOWN",
      ]),
    );
    const refused = await publishPolicy(mesh, policy).catch(fromConnectError);
    expect(refused).toMatchObject({ reason: "POLICY_REFUSED" });
  });

  it("is published and applied by the routers of both regions, who report it", async () => {
    const policy = changePolicy(mesh, (json) => {
      json.models.push({ id: "fresh", routes: [{ target: "scripted-eu/small" }, { target: "scripted-us/large" }] });
      json.rules = [
        {
          id: "large-stays-in-eu",
          tenants: [{ team: DEMO_TENANT.team }],
          models: ["large"],
          when: 'region != "eu"',
          deny: { message: "model large is for eu only" },
        },
      ];
    });

    published = await publishPolicy(mesh, policy, "A fresh model");
    await mesh.waitCurrent();

    const { instances, latest } = await waitFor(
      () => readStatus(mesh),
      (status) => status.instances.every(({ snapshot }) => snapshot?.phase === SnapshotPhase.APPLIED),
    );
    for (const region of REGIONS) {
      const newest = latest.find((versions) => versions.region === region);
      expect(newest).toMatchObject({ policyVersion: published });
      expect(instances.find((instance) => instance.region === region)).toMatchObject({
        instance: `${region}-1`,
        connected: true,
        snapshot: { version: newest?.snapshotVersion, phase: SnapshotPhase.APPLIED, reasons: [] },
        keyring: { version: newest?.keyringVersion, phase: SnapshotPhase.APPLIED },
      });
      expect(await askRouter(mesh, region, mesh.key, "fresh")).toMatchObject({
        status: 200,
        snapshot: newest?.snapshotVersion,
        keyring: newest?.keyringVersion,
      });
    }
  });

  it("leads each region only to targets that may serve it", async () => {
    expect((await askRouter(mesh, "eu", mesh.key, "fresh")).target).toBe("scripted-eu/small");
    expect((await askRouter(mesh, "us", mesh.key, "fresh")).target).toBe("scripted-us/large");
  });

  it("has each router hold calls to its rules, and is explained alike", async () => {
    const keyId = mesh.key.split("_")[2] as string;

    const [eu, us] = [await askRouter(mesh, "eu", mesh.key, "large"), await askRouter(mesh, "us", mesh.key, "large")];
    const explained = await askPolicy(mesh, ExplainService, (client) =>
      client.explain({ region: "us", keyId, model: "large" }, CALL_OPTIONS),
    );

    expect(eu).toMatchObject({ status: 200 });
    expect(us).toMatchObject({ status: 403, reason: "RULE_DENIED" });
    expect(explained).toMatchObject({ denied: "RULE_DENIED" });
    expect(explained.message).toContain("model large is for eu only");
  });

  it("is explained by the control plane as the routers decide", async () => {
    const { requestId, target } = await askRouter(mesh, "eu", mesh.key, "small");
    const keyId = mesh.key.split("_")[2] as string;

    const explained = await askPolicy(mesh, ExplainService, (client) =>
      client.explain({ region: "eu", keyId, model: "small", eventId: requestId }, CALL_OPTIONS),
    );

    expect(explained.denied).toBe("");
    expect(explained.candidates[0]?.target).toBe(target);
  });

  it("is rolled back by a new version with the old content", async () => {
    const before = published - 1n;

    const { version } = await askPolicy(mesh, PolicyService, (client) =>
      client.rollBackPolicy({ requestId: randomUUID(), version: before, expectedVersion: published }, CALL_OPTIONS),
    );
    await mesh.waitCurrent();

    expect(version).toMatchObject({ version: published + 1n, contentOf: before });
    const { latest } = await readStatus(mesh);
    for (const region of REGIONS) {
      const newest = latest.find((versions) => versions.region === region);
      expect(await askRouter(mesh, region, mesh.key, "fresh")).toMatchObject({ status: 404, reason: "MODEL_UNKNOWN" });
      expect((await askRouter(mesh, region, mesh.key)).snapshot).toBe(newest?.snapshotVersion);
    }
  });
});

describe("the life of a key", () => {
  it("begins in both regions at once", async () => {
    key = await mesh.createKey();

    for (const region of REGIONS) expect(await askRouter(mesh, region, key.secret)).toMatchObject({ status: 200 });
  });

  it("C8: ends in both regions when it is revoked, from the version on that the answer names", async () => {
    const { keyrings } = await revokeKey(mesh, key.keyId, "It was seen in a log");
    await mesh.waitCurrent();

    for (const region of REGIONS) {
      expect(await askRouter(mesh, region, key.secret)).toMatchObject({ status: 401, reason: "KEY_REVOKED" });
      const other = await askRouter(mesh, region, mesh.key);
      const named = keyrings.find((keyring) => keyring.region === region)?.version ?? 0n;
      expect(named).toBeGreaterThan(0n);
      expect(other.keyring).toBeGreaterThanOrEqual(named);
    }
  });

  it("is not begun again by any policy, old or new", async () => {
    await askPolicy(mesh, PolicyService, (client) =>
      client.rollBackPolicy({ requestId: randomUUID(), version: 1n }, CALL_OPTIONS),
    );
    await mesh.waitCurrent();

    for (const region of REGIONS) {
      expect(await askRouter(mesh, region, key.secret)).toMatchObject({ status: 401, reason: "KEY_REVOKED" });
    }
  });
});

describe("the record", () => {
  it("has every change of policy and keys, in the control plane's log", async () => {
    const records = await waitFor(
      () => readLog(mesh, "control"),
      (all) => all.filter(({ record }) => record.act.case === "policyChange").length === 4,
    );

    const changes = records.map(({ record }) => record.act);
    const policies = changes.flatMap((act) => (act.case === "policyChange" ? [act.value] : []));
    expect(policies.map(({ version, contentOf }) => [version, contentOf])).toEqual([
      [1n, 0n],
      [published, 0n],
      [published + 1n, published - 1n],
      [published + 2n, 1n],
    ]);
    // Each names the digest that the one before led to.
    policies.slice(1).forEach((policy, index) => {
      expect(policy.beforeDigest).toEqual(policies[index]?.afterDigest);
    });
    expect(policies[1]).toMatchObject({ comment: "A fresh model", snapshots: [{ region: "eu" }, { region: "us" }] });
    const keys = changes.flatMap((act) =>
      act.case === "keyChange" && act.value.keyId === key.keyId ? [act.value] : [],
    );
    expect(keys).toMatchObject([
      { change: KeyChange.CREATED },
      { change: KeyChange.REVOKED, comment: "It was seen in a log" },
    ]);
    expect(keys[1]?.beforeDigest).toEqual(keys[0]?.afterDigest);
  });
});

describe("without the policy service", () => {
  it("routers restart from disk with what they ran, and serve both what is allowed and what is not", async () => {
    const { latest } = await readStatus(mesh);
    await mesh.processes.policy.kill();

    for (const region of REGIONS) {
      await mesh.processes[`router-${region}`].restart();
      await mesh.waitRouterReady(region, AbortSignal.timeout(30_000));
      const newest = latest.find((versions) => versions.region === region);
      expect(await askRouter(mesh, region, mesh.key)).toMatchObject({
        status: 200,
        snapshot: newest?.snapshotVersion,
        keyring: newest?.keyringVersion,
      });
      expect(await askRouter(mesh, region, key.secret)).toMatchObject({ status: 401, reason: "KEY_REVOKED" });
    }
  });

  it("routers hear of what changes once it is back", async () => {
    await mesh.processes.policy.restart();
    await publishPolicy(mesh, changePolicy(mesh), "After the outage");
    await mesh.waitCurrent();

    const { instances } = await waitFor(
      () => readStatus(mesh),
      (status) => status.instances.every(({ connected }) => connected),
    );
    expect(instances.map(({ instance }) => instance)).toEqual(["eu-1", "us-1"]);
  });
});
