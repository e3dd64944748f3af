/** The spool of a router: strangers cannot fill it, and when it is full new chats are refused rather than made for nothing. */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Pool } from "../../services/shared/database/pool.ts";
import { createKey } from "../../services/shared/key/key.ts";
import { type Mesh, startMesh } from "../mesh.ts";
import { readLog, waitFor } from "../records.ts";
import { openLedger, readUsageIds } from "../spend.ts";

let mesh: Mesh;
let ledger: Pool;
const chats: string[] = [];

beforeAll(async () => {
  mesh = await startMesh({ name: "router-spool", settings: { "router-eu": { WEIR_SPOOL_LIMIT: "1MiB" } } });
  ledger = openLedger(mesh);
});

afterAll(async () => {
  await ledger?.end();
  await mesh?.stop();
});

const body = JSON.stringify({ model: "scripted-small", messages: [{ role: "user", content: "Hello" }] });

function post(key: string | undefined): Promise<Response> {
  return fetch(`${mesh.routerUrl("eu")}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", ...(key && { authorization: `Bearer ${key}` }) },
    body,
  });
}

/** Bytes of all segments of the router's spool. */
function countSpooled(): number {
  const spool = join(mesh.layout.router, "eu-1", "spool");
  return readdirSync(spool, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".segment"))
    .reduce((sum, name) => sum + statSync(join(spool, name)).size, 0);
}

describe("the spool of a router", () => {
  it("stays empty under a flood of requests without a key, with malformed and with unknown ones", async () => {
    const before = countSpooled();
    const keys = [undefined, "sk-nothing", createKey("production").text, `${createKey("production").text}x`];
    for (let round = 0; round < 50; round++) {
      const answers = await Promise.all(Array.from({ length: 20 }, (_, index) => post(keys[index % keys.length])));
      for (const answer of answers) {
        expect(answer.status).toBe(401);
        await answer.arrayBuffer();
      }
    }
    expect(countSpooled()).toBe(before);
    const page = await (await fetch(`${mesh.routerAdminUrl("eu")}/metrics`)).text();
    const refused = (reason: string) =>
      Number(new RegExp(`weir_router_refusals_total\\{reason="${reason}"\\} (\\d+)`).exec(page)?.[1]);
    expect([refused("KEY_MISSING"), refused("KEY_MALFORMED"), refused("KEY_UNKNOWN")]).toEqual([250, 500, 250]);
  });

  it("refuses new chats with SPOOL_FULL when nothing can be shipped, and loses none that began", async () => {
    await mesh.processes["nats-eu"].kill("SIGKILL");
    let refusal: Response | undefined;
    for (let count = 0; count < 5_000 && refusal === undefined; count++) {
      const answer = await post(mesh.key);
      if (answer.status !== 200) refusal = answer;
      else {
        chats.push(answer.headers.get("x-request-id") ?? "");
        await answer.arrayBuffer();
      }
    }
    expect(refusal?.status).toBe(503);
    expect(Number(refusal?.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(await refusal?.json()).toMatchObject({ error: { code: "spool_full", type: "server_error" } });
    expect(chats.length).toBeGreaterThan(100);
    expect(countSpooled()).toBeLessThanOrEqual(2 ** 20);
  });

  it("takes chats again when what it holds has arrived, and the ledger and the log have each of them once", async () => {
    await mesh.processes["nats-eu"].restart();
    const client = new OpenAI({ apiKey: mesh.key, baseURL: `${mesh.routerUrl("eu")}/v1`, maxRetries: 0 });
    const chat = () =>
      client.chat.completions
        .create({ model: "scripted-small", messages: [{ role: "user", content: "Hello" }] })
        .withResponse();
    const { response } = await waitFor(chat, () => true);
    chats.push(response.headers.get("x-request-id") ?? "");

    const usages = await waitFor(
      () => readUsageIds(ledger),
      (ids) => ids.length >= chats.length,
    );
    expect(usages).toEqual([...chats].sort());
    const readCalls = async () =>
      (await readLog(mesh, "eu")).flatMap(({ record }) => (record.act.case === "call" ? [record.recordId] : []));
    expect((await waitFor(readCalls, (ids) => ids.length >= chats.length)).sort()).toEqual([...chats].sort());
  });
});
