/**
 * A router dies in mid-stream: its callers see a broken stream, never a normal end, and after its restart every chat that began has
 * exactly one usage in the ledger and one record in the log; those with content are never free.
 */
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { CallRecord } from "../../gen/weir/audit/v1/record_pb.ts";
import { OutcomeKind, UsageSource } from "../../gen/weir/type/v1/usage_pb.ts";
import type { Pool } from "../../services/shared/database/pool.ts";
import { type Mesh, startMesh } from "../mesh.ts";
import { readLog, waitFor } from "../records.ts";
import { openLedger, readEntries, readLedgerSums, readUsageIds } from "../spend.ts";

let mesh: Mesh;
let ledger: Pool;
/** Every chat that began, and of these the ones that were broken off. */
const chats: string[] = [];
const broken: string[] = [];

beforeAll(async () => {
  mesh = await startMesh({ name: "router-kill" });
  ledger = openLedger(mesh);
});

afterAll(async () => {
  await ledger?.end();
  await mesh?.stop();
});

const client = () => new OpenAI({ apiKey: mesh.key, baseURL: `${mesh.routerUrl("eu")}/v1`, maxRetries: 0 });
const ask = (model: string) => ({ model, messages: [{ role: "user" as const, content: "Go on until you die" }] });

async function chat(): Promise<void> {
  const { response } = await client().chat.completions.create(ask("scripted-small")).withResponse();
  chats.push(response.headers.get("x-request-id") ?? "");
}

/** Begins a stream that stops in the middle. Resolves when content has come, with what its end will be. */
async function beginStream(): Promise<{ readonly ended: Promise<unknown> }> {
  const { data, response } = await client()
    .chat.completions.create({ ...ask("scripted-hold"), stream: true })
    .withResponse();
  const id = response.headers.get("x-request-id") ?? "";
  chats.push(id);
  broken.push(id);
  const chunks = data[Symbol.asyncIterator]();
  for (;;) {
    const next = await chunks.next();
    if (next.done) throw new Error("the stream ended before it was held");
    if (next.value.choices[0]?.delta.content) break;
  }
  const drain = async () => {
    for (;;) {
      const next = await chunks.next();
      if (next.done || next.value.choices[0]?.finish_reason) return "a normal end";
    }
  };
  return { ended: drain().catch((error: unknown) => error) };
}

async function killRouter(): Promise<void> {
  await mesh.processes["router-eu"].kill("SIGKILL");
}

async function readCalls(): Promise<ReadonlyMap<string, CallRecord>> {
  const calls = new Map<string, CallRecord>();
  for (const { record } of await readLog(mesh, "eu")) {
    if (record.act.case !== "call") continue;
    // A second record of one chat would be hidden by a map: it must not be there.
    expect(calls.has(record.recordId)).toBe(false);
    calls.set(record.recordId, record.act.value);
  }
  return calls;
}

describe("a router that is killed in mid-stream", () => {
  it("breaks its streams visibly", async () => {
    for (let count = 0; count < 5; count++) await chat();
    const streams = await Promise.all(Array.from({ length: 4 }, beginStream));
    await killRouter();
    for (const { ended } of streams) expect(await ended).toBeInstanceOf(Error);
  });

  it("leaves, after restarts that are themselves killed, one usage and one record for each chat", async () => {
    const router = mesh.processes["router-eu"];
    for (let count = 0; count < 3; count++) {
      await router.restart();
      await chat();
      const { ended } = await beginStream();
      await killRouter();
      expect(await ended).toBeInstanceOf(Error);
    }
    await router.restart();
    await chat();

    const usages = await waitFor(
      () => readUsageIds(ledger),
      (ids) => ids.length >= chats.length,
    );
    expect(usages).toEqual([...chats].sort());
    const calls = await waitFor(readCalls, (found) => found.size >= chats.length);
    expect([...calls.keys()].sort()).toEqual([...chats].sort());
  });

  it("bills a broken chat at its bound, in the ledger as on the record, and an answered one at what was said", async () => {
    const calls = await readCalls();
    for (const id of chats) {
      const call = calls.get(id);
      const [attempt] = call?.attempts ?? [];
      const cost = attempt?.lines.reduce((sum, line) => sum + line.costNanos, 0n) ?? 0n;
      expect(cost).toBeGreaterThan(0n);
      if (broken.includes(id)) {
        expect(call).toMatchObject({ outcome: OutcomeKind.ABANDONED, streamed: true });
        expect(attempt).toMatchObject({ target: "scripted-eu/scripted-hold", source: UsageSource.BOUNDED });
        // The target's bound, and no more tokens in than the request had bytes, and some framing.
        expect(attempt?.lines[1]?.quantity).toBe(4096n);
        expect(attempt?.lines[0]?.quantity).toBeLessThan(500n);
      } else {
        expect(call?.outcome).toBe(OutcomeKind.ANSWERED);
        expect(attempt?.source).toBe(UsageSource.PROVIDER);
      }
      const charged = (await readEntries(mesh, id)).filter(({ amountNanos }) => amountNanos > 0n);
      expect(charged.map(({ amountNanos }) => amountNanos)).toEqual([cost]);
    }
    expect(await readLedgerSums(ledger)).toMatchObject({ balance: 0n, parked: 0n, mismatched: 0n });
  });

  it("leaves nothing of its earlier lives on disk once all has arrived", async () => {
    const bytes = async () => {
      const page = await (await fetch(`${mesh.routerAdminUrl("eu")}/metrics`)).text();
      return [...page.matchAll(/^weir_router_spool_facts\{kind="\w+"\} (\d+)$/gm)].map((match) => match[1]);
    };
    expect(await waitFor(bytes, (facts) => facts.length === 2 && facts.every((count) => count === "0"))).toHaveLength(
      2,
    );
  });
});
