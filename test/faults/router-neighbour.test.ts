/**
 * Two routers of a region on one port: the kernel deals out connections among them. One dies in the middle of its work: only its
 * own streams break, the other one takes every new chat, and once it is started again every chat that began at either has one
 * usage and one record.
 */
import http from "node:http";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { getRouterAdminPort, HOST } from "../../cli/up/layout.ts";
import type { Pool } from "../../services/shared/database/pool.ts";
import { type Mesh, startMesh } from "../mesh.ts";
import { readLog, runWeir, waitFor } from "../records.ts";
import { openLedger, readLedgerSums, readUsageIds } from "../spend.ts";

let mesh: Mesh;
let ledger: Pool;
/** Every chat that was answered or began to be. */
const chats: string[] = [];

beforeAll(async () => {
  mesh = await startMesh({ name: "router-neighbour", routers: 2 });
  ledger = openLedger(mesh);
});

afterAll(async () => {
  await ledger?.end();
  await mesh?.stop();
});

/** A chat over a connection of its own; its status, or the error that broke the connection. */
function chat(): Promise<number | Error> {
  const { promise, resolve } = Promise.withResolvers<number | Error>();
  const request = http.request(`${mesh.routerUrl("eu")}/v1/chat/completions`, {
    method: "POST",
    agent: false,
    headers: { authorization: `Bearer ${mesh.key}`, "content-type": "application/json" },
  });
  request.on("response", (response) => {
    chats.push(String(response.headers["x-request-id"]));
    response.resume();
    response.on("end", () => resolve(response.statusCode ?? 0)).on("error", resolve);
  });
  request.on("error", resolve);
  request.end(JSON.stringify({ model: "scripted-small", messages: [{ role: "user", content: "Hello" }] }));
  return promise;
}

/** Begins a stream, over a connection of its own, that waits in the middle. Resolves when content has come. */
async function beginStream(): Promise<{ readonly ended: Promise<"finished" | Error> }> {
  const client = new OpenAI({
    apiKey: mesh.key,
    baseURL: `${mesh.routerUrl("eu")}/v1`,
    maxRetries: 0,
    defaultHeaders: { connection: "close" },
  });
  const { data, response } = await client.chat.completions
    .create({ model: "scripted-hold", messages: [{ role: "user", content: "Go on" }], stream: true })
    .withResponse();
  chats.push(response.headers.get("x-request-id") ?? "");
  const chunks = data[Symbol.asyncIterator]();
  await chunks.next();
  const drain = async () => {
    for (;;) {
      const next = await chunks.next();
      if (next.done) throw new Error("the stream ended without saying that it was finished");
      if (next.value.choices[0]?.finish_reason) return "finished" as const;
    }
  };
  return { ended: drain().catch((error: Error) => error) };
}

/** How many chats the router of this number has open. */
async function countOpen(number: number): Promise<number> {
  const port = getRouterAdminPort(mesh.ports, "eu", number);
  const state = (await (await fetch(`http://${HOST}:${port}/state`)).json()) as { router: string; openChats: number };
  expect(state.router).toBe(`eu-${number}`);
  return state.openChats;
}

/** The ids of all chats on record. */
async function readCallIds(): Promise<string[]> {
  return (await readLog(mesh, "eu")).flatMap(({ record }) => (record.act.case === "call" ? [record.recordId] : []));
}

describe("two routers on one port", () => {
  it("are both listed by policy", async () => {
    const { code, output } = await runWeir(mesh, "policy", "status");

    expect(code, output).toBe(0);
    for (const name of ["eu-1", "eu-2", "us-1", "us-2"]) expect(output).toMatch(new RegExp(`${name} +yes .* current`));
  });

  it("share the connections; when one is killed its streams break, those of the other end well, and new chats are answered", async () => {
    const streams = [];
    while ((await countOpen(1)) < 2 || (await countOpen(2)) < 2) streams.push(await beginStream());
    const [first, second] = [await countOpen(1), await countOpen(2)];
    expect(first + second).toBe(streams.length);

    let isOver = false;
    const underLoad = Promise.withResolvers<void>();
    const load = Array.from({ length: 8 }, async () => {
      const answers = [];
      while (!isOver) {
        answers.push(await chat());
        if (answers.length === 5) underLoad.resolve();
      }
      return answers;
    });
    await underLoad.promise;
    await mesh.processes["router-eu"].kill("SIGKILL");
    const after = await Promise.all(Array.from({ length: 20 }, chat));
    isOver = true;
    const during = (await Promise.all(load)).flat();
    await mesh.release();
    const ends = await Promise.all(streams.map(({ ended }) => ended));

    expect(after).toEqual(after.map(() => 200));
    // What was under way at the one that died is broken, and nothing else: no answer says that something went wrong.
    expect(during.filter((answer) => typeof answer === "number" && answer !== 200)).toEqual([]);
    expect(ends.filter((end) => end === "finished")).toHaveLength(second);
    expect(ends.filter((end) => end instanceof Error)).toHaveLength(first);
  });

  it("leave one usage and one record for every chat that began at either", async () => {
    await mesh.processes["router-eu"].restart();
    expect(await chat()).toBe(200);

    // A chat whose caller heard nothing of it counts too: the provider does know how many it was asked for. Of those that the killed
    // router had written down, it may not have got to asking for some.
    const asked = (await mesh.bill()).totals.calls;
    const { usages, records } = await waitFor(
      async () => ({ usages: await readUsageIds(ledger), records: await readCallIds() }),
      (facts) =>
        facts.usages.length >= asked &&
        facts.usages.length === facts.records.length &&
        chats.every((id) => facts.usages.includes(id)),
    );

    expect(new Set(usages).size).toBe(usages.length);
    expect(records.toSorted()).toEqual(usages);
    expect(await readLedgerSums(ledger)).toMatchObject({ balance: 0n, parked: 0n, mismatched: 0n });
  });
});
