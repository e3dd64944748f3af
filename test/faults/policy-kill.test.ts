/** The policy service is killed while it works: what it said it did is done, what is asked again is done once, and all of it is on record once. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CALL_OPTIONS } from "../../cli/control-plane.ts";
import { KeyService } from "../../gen/weir/policy/v1/key_service_pb.ts";
import { PolicyService } from "../../gen/weir/policy/v1/policy_service_pb.ts";
import { DEMO_TENANT, type Mesh, startMesh } from "../mesh.ts";
import { askPolicy, changePolicy, readStatus } from "../policies.ts";
import { readLog, waitFor } from "../records.ts";

const KILLS = 3;
const CHANGES_AT_ONCE = 6;

let mesh: Mesh;

beforeAll(async () => {
  mesh = await startMesh({ name: "policy-kill" });
});

afterAll(() => mesh?.stop());

/** A change that can be asked for again under its own request id. */
type Change = () => Promise<{ kind: "policy"; version: bigint } | { kind: "key"; keyId: string }>;

function createPublish(): Change {
  const request = { requestId: randomUUID(), policy: changePolicy(mesh), allAtOnce: true };
  return async () => {
    const { version } = await askPolicy(mesh, PolicyService, (client) => client.publishPolicy(request, CALL_OPTIONS));
    return { kind: "policy", version: version?.version ?? 0n };
  };
}

function createKeyChange(): Change {
  const request = { requestId: randomUUID(), displayName: "Kill", ...DEMO_TENANT, models: ["*"] };
  return async () => {
    const { key } = await askPolicy(mesh, KeyService, (client) => client.createKey(request, CALL_OPTIONS));
    return { kind: "key", keyId: key?.keyId ?? "" };
  };
}

describe("policy, killed while changes are under way", () => {
  it("made each change once, whether its answer was heard or not, and each is on record once", async () => {
    const first = (await readStatus(mesh)).latest[0]?.policyVersion ?? 0n;
    const heard = new Map<Change, Awaited<ReturnType<Change>>>();
    const all: Change[] = [];
    for (let kill = 0; kill < KILLS; kill++) {
      const changes = Array.from({ length: CHANGES_AT_ONCE }, (_, index) =>
        index % 2 === 0 ? createPublish() : createKeyChange(),
      );
      all.push(...changes);
      const answers = changes.map(async (change) => heard.set(change, await change()));
      const settled = Promise.allSettled(answers);
      // At another point each time: once the first answer is there, the second, the third.
      await Promise.allSettled(answers.slice(0, kill + 1));
      await mesh.processes.policy.kill();
      await mesh.processes.policy.restart();
      await settled;
    }

    const done = await Promise.all(all.map((change) => waitFor(change, () => true)));

    const versions = done
      .flatMap((made) => (made.kind === "policy" ? [made.version] : []))
      .sort((a, b) => Number(a - b));
    expect(versions).toEqual(versions.map((_, index) => first + 1n + BigInt(index)));
    const keyIds = done.flatMap((made) => (made.kind === "key" ? [made.keyId] : []));
    expect(new Set(keyIds).size).toBe(keyIds.length);
    all.forEach((change, index) => {
      if (heard.has(change)) expect(done[index]).toEqual(heard.get(change));
    });
    // What was changed before may come into the log at any time: only what this test did counts.
    const readActs = async () =>
      (await readLog(mesh, "control"))
        .map(({ record }) => record.act)
        .filter(
          (act) =>
            (act.case === "policyChange" && act.value.version > first) ||
            (act.case === "keyChange" && keyIds.includes(act.value.keyId)),
        );
    const acts = await waitFor(readActs, ({ length }) => length >= done.length);
    expect(acts.flatMap((act) => (act.case === "policyChange" ? [act.value.version] : []))).toEqual(versions);
    expect(acts.flatMap((act) => (act.case === "keyChange" ? [act.value.keyId] : [])).sort()).toEqual(keyIds.sort());
    await mesh.waitCurrent();
  });
});
