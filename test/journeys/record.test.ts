/**
 * The life of a record: a chat → its record in its region's log → a proof → verified offline by the command line. A change of policy or
 * of a key → the same in the control plane's log.
 */
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromJsonString } from "@bufbuild/protobuf";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CALL_OPTIONS, withClient } from "../../cli/control-plane.ts";
import { AuditService } from "../../gen/weir/audit/v1/audit_service_pb.ts";
import { KeyChange } from "../../gen/weir/audit/v1/record_pb.ts";
import { ExplainResponseSchema } from "../../gen/weir/policy/v1/explain_service_pb.ts";
import { KeyService } from "../../gen/weir/policy/v1/key_service_pb.ts";
import { Meter, OutcomeKind, UsageSource } from "../../gen/weir/type/v1/usage_pb.ts";
import { createTestPolicy, type Mesh, startMesh } from "../mesh.ts";
import { readLog, runWeir, waitFor, waitProof } from "../records.ts";

const PROMPT = "canary-prompt-5d1e";
let mesh: Mesh;
let folder: string;
let chatId: string;
let streamId: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "weir-record-"));
  mesh = await startMesh({ name: "record" });
  chatId = await chat("eu", "small");
  streamId = await stream("eu", "large");
  await chat("us", "small");
});

afterAll(async () => {
  await mesh?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const client = (region: "eu" | "us") =>
  new OpenAI({ apiKey: mesh.key, baseURL: `${mesh.routerUrl(region)}/v1`, maxRetries: 0, timeout: 60_000 });
const ask = (model: string) => ({ model, messages: [{ role: "user" as const, content: PROMPT }] });

/** Asks a model and returns the id of the chat. */
async function chat(region: "eu" | "us", model: string): Promise<string> {
  const { response } = await client(region).chat.completions.create(ask(model)).withResponse();
  return response.headers.get("x-request-id") ?? "";
}

async function stream(region: "eu" | "us", model: string): Promise<string> {
  const { data, response } = await client(region)
    .chat.completions.create({ ...ask(model), stream: true })
    .withResponse();
  for await (const _ of data);
  return response.headers.get("x-request-id") ?? "";
}

describe("a chat on the record", () => {
  it("stands in its region's log with who, what, why, how it ended, its tokens and its cost", async () => {
    await waitProof(mesh, "eu", chatId);
    const { record } = (await readLog(mesh, "eu")).find(({ logged }) => logged.recordId === chatId) ?? {};

    expect(record).toMatchObject({ recordId: chatId, region: "eu", organisation: "demo" });
    const call = record?.act.case === "call" ? record.act.value : undefined;
    expect(call).toMatchObject({ model: "small", streamed: false, outcome: OutcomeKind.ANSWERED, reason: "" });
    expect(call?.caller).toMatchObject({ organisation: "demo", team: expect.stringMatching(/./) });
    expect(call?.caller?.identity).toMatchObject({ case: "keyId", value: expect.stringMatching(/^[a-z2-7]{12}$/) });
    expect(call?.versions?.snapshotVersion).toBeGreaterThanOrEqual(1n);
    expect(call?.versions?.snapshotDigest).toHaveLength(32);
    expect(call?.versions?.keyringVersion).toBeGreaterThanOrEqual(1n);
    expect(call?.candidates[0]).toMatchObject({ target: "scripted-eu/small", result: { case: "score" } });
    // A region's snapshot knows no target of another region, so not even as rejected ones do they stand here.
    expect(call?.candidates.filter(({ target }) => !target.startsWith("scripted-eu/"))).toEqual([]);
    expect(call?.attempts).toHaveLength(1);
    expect(call?.attempts[0]).toMatchObject({ target: "scripted-eu/small", outcome: OutcomeKind.ANSWERED });
    expect(call?.attempts[0]?.source).toBe(UsageSource.PROVIDER);
    const meters = call?.attempts[0]?.lines.map(({ meter }) => meter) ?? [];
    expect(meters).toEqual(expect.arrayContaining([Meter.INPUT_TOKENS, Meter.OUTPUT_TOKENS]));
    expect(call?.attempts[0]?.lines.every(({ quantity, costNanos }) => quantity === 0n || costNanos > 0n)).toBe(true);
  });

  it("a stream is on it too, once", async () => {
    await waitProof(mesh, "eu", streamId);
    const ofStream = (await readLog(mesh, "eu")).filter(({ logged }) => logged.recordId === streamId);
    expect(ofStream).toHaveLength(1);
    expect(ofStream[0]?.record.act).toMatchObject({ case: "call", value: { model: "large", streamed: true } });
  });

  it("holds no prompt, no answer and no secret, and is in no other log", async () => {
    const { record } = await waitProof(mesh, "eu", chatId);
    const bytes = Buffer.from(record?.record ?? []).toString("latin1");
    expect(bytes).not.toContain(PROMPT);
    expect(bytes).not.toContain("scripted answer");
    // The secret part of a virtual key: 43 characters before the checksum.
    expect(bytes).not.toContain(mesh.key.slice(-50, -7));
    for (const other of ["us", "control"]) {
      expect((await readLog(mesh, other)).map(({ logged }) => logged.recordId)).not.toContain(chatId);
    }
  });

  it("its proof verifies offline by the command line, and a changed byte of it does not", async () => {
    const fetched = await runWeir(mesh, "audit", "proof", chatId, "--region", "eu", "--out", folder);
    expect(fetched).toMatchObject({ code: 0 });

    const proof = join(folder, `${chatId}.tlog-proof`);
    const verified = await runWeir(mesh, "audit", "verify", proof);
    expect(verified.output).toContain("PROVEN: weir.local/audit/eu");
    expect(verified.code).toBe(0);

    const record = join(folder, `${chatId}.record`);
    const bytes = readFileSync(record);
    bytes[bytes.length - 1] = (bytes[bytes.length - 1] ?? 0) ^ 1;
    writeFileSync(record, bytes);
    const changed = await runWeir(mesh, "audit", "verify", proof);
    expect(changed.output).toContain("REFUSED (CHANGED)");
    expect(changed.code).toBe(1);
  });

  it("the log of one region proves nothing about another", async () => {
    const { output, code } = await runWeir(mesh, "audit", "proof", chatId, "--region", "us", "--out", folder);
    expect(code).toBe(1);
    expect(output).toContain(chatId);
  });
});

describe("a decision on the record", () => {
  it("is run again by the command line, under the snapshot that it ran under", async () => {
    const { record } = (await readLog(mesh, "eu")).find(({ logged }) => logged.recordId === chatId) ?? {};
    const call = record?.act.case === "call" ? record.act.value : undefined;

    const { code, output } = await runWeir(mesh, "explain", "--region", "eu", "--call", chatId, "--output", "json");

    expect(code).toBe(0);
    const again = fromJsonString(ExplainResponseSchema, output);
    expect(again).toMatchObject({ denied: "", candidates: call?.candidates });
    expect(again.versions?.snapshotVersion).toBe(call?.versions?.snapshotVersion);
    expect(again.candidates.length).toBeGreaterThan(0);
  });
});

describe("the log of a region", () => {
  it("is exported and verified whole, continues what an auditor remembers, and shows any changed byte", async () => {
    const remembered = join(folder, "remembered.checkpoint");
    const { checkpoint } = await waitProof(mesh, "eu", streamId);
    writeFileSync(remembered, checkpoint?.note ?? "");
    const later = await chat("eu", "small");
    await waitProof(mesh, "eu", later);

    const target = join(folder, "export");
    expect(await runWeir(mesh, "audit", "export", "--region", "eu", "--out", target)).toMatchObject({ code: 0 });
    const verified = await runWeir(mesh, "audit", "verify", target, "--checkpoint", remembered);
    expect(verified.output).toMatch(/PROVEN: weir\.local\/audit\/eu, \d+ records/);
    expect(verified.code).toBe(0);

    for (const name of readdirSync(target)) {
      const path = join(target, name);
      copyFileSync(path, join(folder, "kept"));
      const bytes = readFileSync(path);
      const middle = bytes.length >> 1;
      bytes[middle] = (bytes[middle] ?? 0) ^ 1;
      writeFileSync(path, bytes);
      const changed = await runWeir(mesh, "audit", "verify", target);
      expect(changed.output).toContain("REFUSED");
      expect(changed.code).toBe(1);
      copyFileSync(join(folder, "kept"), path);
    }
  });

  it("grows, and proves that it only grew", async () => {
    const consistency = await withClient(mesh.addresses.audit.eu ?? "", AuditService, async (audit) => {
      const { checkpoints } = await audit.listCheckpoints({ pageSize: 1 }, CALL_OPTIONS);
      return await audit.getConsistencyProof({ firstSize: checkpoints[0]?.treeSize ?? 0n }, CALL_OPTIONS);
    });
    expect(consistency.second?.treeSize).toBeGreaterThan(consistency.first?.treeSize ?? 0n);
  });
});

describe("a change of policy or of a key on the record", () => {
  it("a published policy stands in the control plane's log with the snapshots that came of it", async () => {
    const version = await mesh.publish(createTestPolicy(mesh.ports.provider));
    const found = await waitFor(
      async () =>
        (await readLog(mesh, "control")).find(
          ({ record: { act } }) => act.case === "policyChange" && act.value.version === version,
        ),
      (entry) => entry !== undefined,
    );

    const change = found?.record.act.case === "policyChange" ? found.record.act.value : undefined;
    expect(found?.record).toMatchObject({ region: "control", organisation: "demo" });
    expect([change?.beforeDigest.length, change?.afterDigest.length]).toEqual([32, 32]);
    // Who did it: the admin key by its id. The key itself stands in no record.
    expect(change?.actor).toBe(`weir:admin-key#${mesh.adminKey.split("_")[2]}`);
    expect(change?.snapshots.map(({ region }) => region).sort()).toEqual(["eu", "us"]);
    await waitProof(mesh, "control", found?.record.recordId ?? "");
  });

  it("a key that is made and revoked stands there twice, without its secret", async () => {
    const { keyId, secret } = await mesh.createKey();
    await withClient(mesh.addresses.policy, KeyService, (keys) =>
      keys.revokeKey({ organisation: "demo", keyId, requestId: crypto.randomUUID() }, CALL_OPTIONS),
    );

    const changes = await waitFor(
      async () =>
        (await readLog(mesh, "control")).filter(
          ({ record: { act } }) => act.case === "keyChange" && act.value.keyId === keyId,
        ),
      (entries) => entries.length >= 2,
    );
    expect(changes.map(({ record: { act } }) => act.case === "keyChange" && act.value.change)).toEqual([
      KeyChange.CREATED,
      KeyChange.REVOKED,
    ]);
    for (const { logged } of changes) {
      expect(Buffer.from(logged.record).toString("latin1")).not.toContain(secret);
    }
  });

  it("the control plane's log is exported and verified by its own key", async () => {
    const last = (await readLog(mesh, "control")).at(-1);
    await waitProof(mesh, "control", last?.logged.recordId ?? "");
    const target = join(folder, "control");
    expect(await runWeir(mesh, "audit", "export", "--region", "control", "--out", target)).toMatchObject({ code: 0 });
    const verified = await runWeir(mesh, "audit", "verify", target, "--origin", "weir.local/audit/control");
    expect(verified.output).toContain("PROVEN: weir.local/audit/control");
    const mistaken = await runWeir(mesh, "audit", "verify", target, "--origin", "weir.local/audit/eu");
    expect(mistaken.output).toContain("REFUSED (UNTRUSTED)");
    expect(mistaken.code).toBe(1);
  });
});
