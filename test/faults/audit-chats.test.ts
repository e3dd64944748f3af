/** A region's audit, its NATS and PostgreSQL die while chats go on: for N chats there are exactly N records, and the log verifies. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ProcessName } from "../../cli/up/mesh.ts";
import { type Mesh, startMesh } from "../mesh.ts";
import { readLog, runWeir, waitFor, waitProof } from "../records.ts";

let mesh: Mesh;
let folder: string;
const chats: string[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "weir-audit-chats-"));
  mesh = await startMesh({ name: "audit-chats" });
});

afterAll(async () => {
  await mesh?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Chats one after the other; each must be answered, whatever happens behind the router. */
async function chat(count: number): Promise<void> {
  const client = new OpenAI({
    apiKey: mesh.key,
    baseURL: `${mesh.routerUrl("eu")}/v1`,
    maxRetries: 0,
    timeout: 60_000,
  });
  for (let number = 0; number < count; number++) {
    const { response } = await client.chat.completions
      .create({ model: "small", messages: [{ role: "user", content: `chat ${number}` }] })
      .withResponse();
    chats.push(response.headers.get("x-request-id") ?? "");
  }
}

/** The ids of all chats in the log of the region, in its order. */
async function readChats(): Promise<string[]> {
  return (await readLog(mesh, "eu"))
    .filter(({ record }) => record.act.case === "call")
    .map(({ logged }) => logged.recordId);
}

describe("chats while the record's way is broken", () => {
  it.each<[ProcessName]>([["audit-eu"], ["nats-eu"], ["postgres"]])(
    "kill -9 of %s and its restart leave exactly one record for each chat",
    async (name) => {
      const part = mesh.processes[name];
      await chat(10);
      await part.kill("SIGKILL");
      await chat(10);
      await part.restart();
      await chat(10);

      const logged = await waitFor(readChats, (ids) => ids.length >= chats.length);
      expect([...logged].sort()).toEqual([...chats].sort());
    },
  );

  it("the log verifies after all that", async () => {
    await waitProof(mesh, "eu", chats.at(-1) ?? "");
    const target = join(folder, "export");
    expect(await runWeir(mesh, "audit", "export", "--region", "eu", "--out", target)).toMatchObject({ code: 0 });
    expect(await runWeir(mesh, "audit", "verify", target)).toMatchObject({ code: 0 });
  });
});
