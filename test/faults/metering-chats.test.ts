/**
 * Metering, PostgreSQL and NATS die while chats run in both regions: each chat that began is in the ledger exactly once, and what the
 * tenant is charged for is what the provider billed.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Region } from "../../cli/up/layout.ts";
import type { ProcessName } from "../../cli/up/mesh.ts";
import { Meter } from "../../gen/weir/type/v1/usage_pb.ts";
import type { Pool } from "../../services/shared/database/pool.ts";
import { type Mesh, startMesh } from "../mesh.ts";
import { waitFor } from "../records.ts";
import { openLedger, readLedgerSums, readSpend, readUsageIds } from "../spend.ts";

let mesh: Mesh;
let ledger: Pool;
const chats: string[] = [];

beforeAll(async () => {
  mesh = await startMesh({ name: "metering-chats" });
  ledger = openLedger(mesh);
});

afterAll(async () => {
  await ledger?.end();
  await mesh?.stop();
});

const client = (region: Region): OpenAI =>
  new OpenAI({ apiKey: mesh.key, baseURL: `${mesh.routerUrl(region)}/v1`, maxRetries: 0 });

/** Chats one after the other, every third one streamed, while `isRunning()`; each must be answered, whatever happens behind the router. */
async function chatWhile(region: Region, isRunning: () => boolean): Promise<void> {
  for (let number = 0; isRunning(); number++) {
    const messages = [{ role: "user" as const, content: `chat ${number}` }];
    if (number % 3 === 0) {
      const { data, response } = await client(region)
        .chat.completions.create({
          model: "scripted-large",
          messages,
          stream: true,
          stream_options: { include_usage: true },
        })
        .withResponse();
      chats.push(response.headers.get("x-request-id") ?? "");
      for await (const chunk of data) expect(chunk.id).toBeTruthy();
    } else {
      const call = client(region).chat.completions.create({ model: "scripted-small", messages });
      const { response } = await call.withResponse();
      chats.push(response.headers.get("x-request-id") ?? "");
    }
  }
}

/** Chats in both regions, hurts the part after a few, mends it after a few more, and ends after yet a few more. */
async function chatThrough(hurt: () => Promise<void>, mend: () => Promise<void>): Promise<void> {
  let isRunning = true;
  const reached = async (count: number): Promise<void> => {
    const goal = chats.length + count;
    await waitFor(
      async () => chats.length,
      (now) => now >= goal,
    );
  };
  const story = async (): Promise<void> => {
    await reached(12);
    await hurt();
    await reached(12);
    await mend();
    await reached(12);
  };
  const running = Promise.all((["eu", "us"] as const).map((region) => chatWhile(region, () => isRunning)));
  await Promise.all([
    story().finally(() => {
      isRunning = false;
    }),
    running,
  ]);
}

async function expectExactlyOnce(): Promise<void> {
  const ids = await waitFor(
    () => readUsageIds(ledger),
    (found) => found.length >= chats.length,
  );
  expect(ids).toEqual([...chats].sort());
}

describe("chats while the way of usage is broken", () => {
  it.each<[ProcessName]>([["metering"], ["postgres"], ["nats-hub"], ["nats-eu"]])(
    "kill -9 of %s under running chats, and its restart, leave exactly one usage for each chat",
    async (name) => {
      const part = mesh.processes[name];

      await chatThrough(
        () => part.kill("SIGKILL"),
        () => part.restart(),
      );

      await expectExactlyOnce();
    },
  );

  it("a region's NATS that comes back without its disk costs nothing: the spool has what it had", async () => {
    const part = mesh.processes["nats-eu"];
    // Metering is away too, so that messages lie on that disk when it is lost.
    await mesh.processes.metering.kill("SIGKILL");

    await chatThrough(
      async () => {
        await part.kill("SIGKILL");
        rmSync(join(mesh.layout.nats, "eu"), { recursive: true, force: true });
      },
      async () => {
        await part.restart();
        await mesh.processes.metering.restart();
      },
    );

    await expectExactlyOnce();
  });

  it("the ledger agrees with itself, and nothing is parked", async () => {
    const sums = await readLedgerSums(ledger);

    expect(sums).toMatchObject({ balance: 0n, parked: 0n, mismatched: 0n, usages: BigInt(chats.length) });
    expect([sums.spendCost, sums.charged]).toEqual([sums.usageCost, sums.usageCost]);
    expect(sums.calls).toBe(sums.usages);
    expect(sums.usageCost).toBeGreaterThan(0n);
  });

  it("the tenant is charged for the tokens that the provider billed, no more and no fewer", async () => {
    const { totals } = await mesh.bill();
    const [all] = await readSpend(mesh);

    const quantity = (...meters: Meter[]): bigint =>
      (all?.quantities ?? [])
        .filter(({ meter }) => meters.includes(meter))
        .reduce((sum, one) => sum + one.quantity, 0n);
    expect(all?.attempts).toBe(BigInt(totals.calls));
    expect(quantity(Meter.INPUT_TOKENS, Meter.CACHED_INPUT_TOKENS)).toBe(BigInt(totals.promptTokens));
    expect(quantity(Meter.OUTPUT_TOKENS, Meter.REASONING_TOKENS)).toBe(BigInt(totals.completionTokens));
  });
});
