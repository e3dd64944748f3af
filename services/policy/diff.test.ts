import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Severity } from "../../gen/weir/policy/v1/policy_pb.ts";
import { fromConnectError } from "../shared/errors/wire.ts";
import { samplePolicy } from "./compilation/policy.fixture.ts";
import {
  makeSampleKey,
  type PolicyHarness,
  publishSample,
  startHarness,
  type TestInstance,
} from "./harness.fixture.ts";

let harness: PolicyHarness;
let instance: TestInstance;

beforeAll(async () => {
  harness = await startHarness();
  await harness.reset();
  instance = await harness.start();
}, 60_000);
afterAll(() => harness.stop());

describe("DiffPolicy", () => {
  it("compares with nothing, the latest version or an older one, tells of the living keys, and stores nothing", async () => {
    const first = await instance.policies.diffPolicy({ policy: samplePolicy() });
    expect(first.against).toBeUndefined();
    expect(first.changes.map(({ message }) => message)).toContain('model "large" is new');

    await publishSample(instance);
    await publishSample(instance, (json) => json.models.pop());
    const { key } = await makeSampleKey(instance);
    const { key: revoked } = await makeSampleKey(instance);
    await instance.keys.revokeKey({ requestId: randomUUID(), organisation: "acme", keyId: revoked?.keyId ?? "" });

    const policy = samplePolicy((json) => json.models.shift());
    const withLatest = await instance.policies.diffPolicy({ policy });
    expect(withLatest.against?.version).toBe(2n);
    expect(withLatest.changes.map(({ message }) => message)).toEqual([
      'model "large" goes',
      'model "any" is new',
      'model "large" can\'t be asked for in eu, us any more',
      'model "any" can be asked for in eu, us',
      'app "search" of team "web" (acme): loses model "large" in eu, us (1 key)',
      'app "search" of team "web" (acme): gains model "any" in eu, us (1 key)',
    ]);
    expect(key?.app).toBe("search");
    const withFirst = await instance.policies.diffPolicy({ policy, againstVersion: 1n });
    expect(withFirst.changes.map(({ message }) => message)).toContain('model "large" goes');
    expect((await instance.policies.diffPolicy({ policy: samplePolicy(), againstVersion: 1n })).changes).toEqual([]);
    expect((await instance.policies.getPolicy({})).version?.version).toBe(2n);
  });

  it("tells every change once, in pages that go on comparing with the version of the first", async () => {
    const policy = samplePolicy((json) => {
      json.targets.push(...Array.from({ length: 2_500 }, (_, index) => ({ ...json.targets[0]!, id: `idle-${index}` })));
    });
    await publishSample(instance);
    const first = await instance.policies.diffPolicy({ policy });
    await publishSample(instance, (json) => json.models.pop());

    const rest = await instance.policies.diffPolicy({ policy, pageToken: first.nextPageToken });

    expect([first.changes.length, first.omittedChanges]).toEqual([2_000, BigInt(rest.changes.length)]);
    expect([rest.against, rest.omittedChanges, rest.nextPageToken]).toEqual([first.against, 0n, ""]);
    const told = [...first.changes, ...rest.changes].filter(({ id }) => id.startsWith("idle-"));
    expect(new Set(told.map(({ id }) => id)).size).toBe(2_500);
    expect(told).toHaveLength(2_500);
    const other = instance.policies.diffPolicy({ policy: samplePolicy(), pageToken: first.nextPageToken });
    expect(await other.catch(fromConnectError)).toMatchObject({ reason: "ARGUMENT_INVALID" });
  });

  it("passes warnings on, and refuses errors and a version that is not there", async () => {
    const idle = samplePolicy((json) => json.targets.push({ ...json.targets[0]!, id: "idle" }));
    const { findings } = await instance.policies.diffPolicy({ policy: idle });
    expect(findings).toMatchObject([{ rule: "TARGET_UNUSED", severity: Severity.WARNING }]);

    const refused = await instance.policies.diffPolicy({}).catch(fromConnectError);
    expect(refused).toMatchObject({ reason: "POLICY_REFUSED", message: /^Cannot compare policy/ });
    const unknown = await instance.policies
      .diffPolicy({ policy: samplePolicy(), againstVersion: 99n })
      .catch(fromConnectError);
    expect(unknown).toMatchObject({ reason: "NOT_FOUND", facts: { version: "99" } });
  });
});
