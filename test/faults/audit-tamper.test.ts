/** Somebody changes the database behind the service: whoever exports the log finds out, and the service signs nothing on top of it. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createPool, type Pool, query } from "../../services/shared/database/pool.ts";
import { createLog } from "../../services/shared/telemetry/log.ts";
import { type Mesh, startMesh } from "../mesh.ts";
import { readLog, runWeir, waitFor, waitProof } from "../records.ts";

let mesh: Mesh;
let folder: string;
let database: Pool;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "weir-audit-tamper-"));
  mesh = await startMesh({ name: "audit-tamper" });
  database = createPool({ url: mesh.databaseUrl("audit_eu"), log: createLog({ service: "test", level: "silent" }) });
  for (let number = 0; number < 6; number++) await waitProof(mesh, "eu", await chat());
});

afterAll(async () => {
  await database?.end();
  await mesh?.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function chat(): Promise<string> {
  const client = new OpenAI({
    apiKey: mesh.key,
    baseURL: `${mesh.routerUrl("eu")}/v1`,
    maxRetries: 0,
    timeout: 60_000,
  });
  const { response } = await client.chat.completions
    .create({ model: "small", messages: [{ role: "user", content: "Hello" }] })
    .withResponse();
  return response.headers.get("x-request-id") ?? "";
}

/** Exports the log and verifies the files. */
async function exportAndVerify(name: string) {
  const target = join(folder, name);
  const exported = await runWeir(mesh, "audit", "export", "--region", "eu", "--out", target);
  expect(exported).toMatchObject({ code: 0 });
  return await runWeir(mesh, "audit", "verify", target);
}

describe("a log whose database was changed", () => {
  it.each([
    [
      "a changed record",
      "update record set record = overlay(record placing '\\x00'::bytea from 40) where log_index = 2",
      /CHANGED.*record 2/,
    ],
    [
      "a changed record with a leaf hash to match",
      "update record set record = overlay(record placing '\\x00'::bytea from 40), leaf_hash = sha256('\\x00'::bytea || overlay(record placing '\\x00'::bytea from 40)) where log_index = 2",
      /CHANGED.*records/,
    ],
    ["a removed record", "delete from record where log_index = 2", /MISSING.*record 2/],
    [
      "two records in each other's place",
      "update record r set record = o.record, leaf_hash = o.leaf_hash, record_id = o.record_id from record o where (r.log_index, o.log_index) in ((2, 3), (3, 2))",
      /CHANGED.*records/,
    ],
  ])("shows %s to whoever verifies an export", async (name, damage, expected) => {
    await query(database, "create table kept as select * from record");
    try {
      await query(database, damage);
      const { code, output } = await exportAndVerify(name.replaceAll(" ", "-"));
      expect(output).toMatch(expected);
      expect(code).toBe(1);
    } finally {
      await query(database, "delete from record");
      await query(database, "insert into record select * from kept");
      await query(database, "drop table kept");
    }
    expect(await exportAndVerify(`${name.replaceAll(" ", "-")}-mended`)).toMatchObject({ code: 0 });
  });

  it("is not continued: after a cut tail the service says so, signs nothing, and chats go on", async () => {
    const size = (await readLog(mesh, "eu")).length;
    await query(database, `delete from record where log_index >= ${size - 2}`);
    await query(database, `update log_state set sequenced = ${size - 2}, integrated = ${size - 2}`);
    // It never gets ready, so nobody waits for that; the mesh's end ends it.
    void mesh.processes["audit-eu"].restart().catch(() => {});

    const readiness = await waitFor(
      async () =>
        (await fetch(`http://${mesh.addresses.audit.eu?.address}/readyz`)).json() as Promise<{
          ready: boolean;
          reason: string;
        }>,
      ({ reason }) => reason.includes("Cannot trust stored log"),
    );
    expect(readiness.ready).toBe(false);
    const before = await query<{ count: bigint }>(database, "select count(*) from checkpoint");
    await chat();
    await chat();
    const after = await query<{ count: bigint; records: bigint }>(
      database,
      "select count(*), (select count(*) from record) as records from checkpoint",
    );
    expect(after[0]?.count).toBe(before[0]?.count);
    expect(after[0]?.records).toBe(BigInt(size - 2));
  });
});
