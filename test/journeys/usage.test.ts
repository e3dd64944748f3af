/** The life of a usage: a chat → its usage in the spool and on the bus → rated and posted → spend that anyone can ask for. */
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Region } from "../../cli/up/layout.ts";
import { Dimension } from "../../gen/weir/metering/v1/spend_service_pb.ts";
import { Meter } from "../../gen/weir/type/v1/usage_pb.ts";
import type { Pool } from "../../services/shared/database/pool.ts";
import { costNanos } from "../../services/shared/money/money.ts";
import { DEMO_TENANT, type Mesh, startMesh } from "../mesh.ts";
import { waitFor } from "../records.ts";
import { openLedger, readEntries, readLedgerSums, readSpend, readUsageIds } from "../spend.ts";

// The prices of the test policy's scripted models, in nano-dollars for a million tokens.
const [INPUT_PRICE, OUTPUT_PRICE] = [1_000_000_000n, 2_000_000_000n];

let mesh: Mesh;
let ledger: Pool;
const chats: string[] = [];

beforeAll(async () => {
  mesh = await startMesh({ name: "spend" });
  ledger = openLedger(mesh);
});

afterAll(async () => {
  await ledger?.end();
  await mesh?.stop();
});

async function chat(region: Region, model: string): Promise<{ id: string; input: bigint; output: bigint }> {
  const client = new OpenAI({ apiKey: mesh.key, baseURL: `${mesh.routerUrl(region)}/v1`, maxRetries: 0 });
  const { data, response } = await client.chat.completions
    .create({ model, messages: [{ role: "user", content: "How much is this?" }] })
    .withResponse();
  const id = response.headers.get("x-request-id") ?? "";
  chats.push(id);
  return { id, input: BigInt(data.usage?.prompt_tokens ?? 0), output: BigInt(data.usage?.completion_tokens ?? 0) };
}

const waitPosted = (): Promise<string[]> =>
  waitFor(
    () => readUsageIds(ledger),
    (ids) => chats.every((id) => ids.includes(id)),
    20_000,
  );

describe("a usage", () => {
  it("becomes a balanced posting, at the price of the policy, within seconds of the chat", async () => {
    const { id, input, output } = await chat("eu", "scripted-small");
    const began = performance.now();

    const entries = await waitFor(
      () => readEntries(mesh, id),
      (found) => found.length > 0,
      20_000,
    );

    expect(performance.now() - began).toBeLessThan(10_000);
    const cost = costNanos(input, INPUT_PRICE) + costNanos(output, OUTPUT_PRICE);
    expect(cost).toBeGreaterThan(0n);
    const { organisation, team, app, environment } = DEMO_TENANT;
    expect(entries.map(({ account, amountNanos }) => [account, amountNanos]).sort()).toEqual([
      ["provider/scripted-eu", -cost],
      [`spend/${organisation}/${team}/${app}/${environment}`, cost],
    ]);
  });

  it("shows as spend by region, model and provider, with its tokens", async () => {
    const used = [await chat("us", "scripted-large"), await chat("us", "scripted-large")];
    await waitPosted();

    const rows = await readSpend(mesh, { groupBy: [Dimension.REGION, Dimension.MODEL, Dimension.PROVIDER] });

    const input = used.reduce((sum, one) => sum + one.input, 0n);
    const output = used.reduce((sum, one) => sum + one.output, 0n);
    const row = rows.find(({ region, model }) => region === "us" && model === "scripted-large");
    expect(row).toMatchObject({ provider: "scripted-us", calls: 2n, attempts: 2n });
    expect(row?.quantities.map(({ meter, quantity }) => [meter, quantity])).toEqual([
      [Meter.INPUT_TOKENS, input],
      [Meter.OUTPUT_TOKENS, output],
    ]);
    const each = used.map((one) => costNanos(one.input, INPUT_PRICE) + costNanos(one.output, OUTPUT_PRICE));
    expect(row?.costNanos).toBe(each.reduce((sum, one) => sum + one, 0n));
  });

  it("of a chat that failed at its provider is in the ledger too, and costs nothing that was not used", async () => {
    const client = new OpenAI({ apiKey: mesh.key, baseURL: `${mesh.routerUrl("eu")}/v1`, maxRetries: 0 });
    const error = await client.chat.completions
      .create({ model: "scripted-fail", messages: [{ role: "user", content: "Hello" }] })
      .catch((caught: unknown) => caught as InstanceType<typeof OpenAI.APIError>);
    chats.push((error as InstanceType<typeof OpenAI.APIError>).headers?.get("x-request-id") ?? "");
    await waitPosted();

    expect(await readEntries(mesh, chats.at(-1))).toEqual([]);
    const rows = await readSpend(mesh, { groupBy: [Dimension.MODEL] });
    expect(rows.find(({ model }) => model === "scripted-fail")).toMatchObject({ calls: 1n, costNanos: 0n });
  });

  it("leaves the router's spool once metering has committed it, and the ledger agrees with itself", async () => {
    await waitPosted();

    for (const region of ["eu", "us"] as const) {
      const spooled = async (): Promise<string | undefined> => {
        const page = await (await fetch(`${mesh.routerAdminUrl(region)}/metrics`)).text();
        return /^weir_router_spool_facts\{kind="usage"\} (\d+)$/m.exec(page)?.[1];
      };
      expect(await waitFor(spooled, (count) => count === "0")).toBe("0");
    }
    const sums = await readLedgerSums(ledger);
    expect(sums).toMatchObject({ balance: 0n, parked: 0n, mismatched: 0n, usages: BigInt(chats.length) });
    expect([sums.spendCost, sums.charged, sums.calls]).toEqual([sums.usageCost, sums.usageCost, sums.usages]);
  });
});
