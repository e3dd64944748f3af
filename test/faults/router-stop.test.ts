/**
 * A router is asked to stop: streams end in good order within the drain time, a stream that does not is ended with an error, and
 * everything is accounted for before the process is gone.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { CallRecord } from "../../gen/weir/audit/v1/record_pb.ts";
import { OutcomeKind } from "../../gen/weir/type/v1/usage_pb.ts";
import { type Mesh, startMesh } from "../mesh.ts";
import { readLog, waitFor } from "../records.ts";
import { readEntries } from "../spend.ts";

let mesh: Mesh;

beforeAll(async () => {
  mesh = await startMesh({ name: "router-stop", settings: { "router-eu": { WEIR_DRAIN_TIMEOUT: "8s" } } });
});

afterAll(() => mesh?.stop());

/** Begins a stream; resolves when its first content is here, with its id and all that comes after. */
async function beginStream(model: string): Promise<{ id: string; rest: Promise<unknown> }> {
  const client = new OpenAI({ apiKey: mesh.key, baseURL: `${mesh.routerUrl("eu")}/v1`, maxRetries: 0 });
  const { data, response } = await client.chat.completions
    .create({ model, messages: [{ role: "user", content: "Take your time" }], stream: true })
    .withResponse();
  const chunks = data[Symbol.asyncIterator]();
  let text = "";
  while (text === "") {
    const next = await chunks.next();
    if (next.done) throw new Error("the stream ended before its first content");
    text += next.value.choices[0]?.delta.content ?? "";
  }
  const drain = async () => {
    for (;;) {
      const next = await chunks.next();
      if (next.done) return "no finish";
      if (next.value.choices[0]?.finish_reason) return next.value.choices[0].finish_reason;
    }
  };
  return { id: response.headers.get("x-request-id") ?? "", rest: drain().catch((error: unknown) => error) };
}

async function findCall(id: string): Promise<CallRecord | undefined> {
  const found = (await readLog(mesh, "eu")).find(({ record }) => record.recordId === id)?.record;
  return found?.act.case === "call" ? found.act.value : undefined;
}

describe("a router that is asked to stop", () => {
  it("lets a running stream end as it should, takes no new chat meanwhile, and leaves an empty spool", async () => {
    const { id, rest } = await beginStream("scripted-slow-stream");
    const stopped = mesh.processes["router-eu"].stop();
    await waitFor(
      () =>
        beginStream("scripted-small").then(
          () => "taken",
          () => "refused",
        ),
      (answer) => answer === "refused",
    );
    expect(await rest).toBe("stop");
    await stopped;

    expect(readdirSync(join(mesh.layout.router, "eu-1", "spool"))).toEqual([]);
    expect(await findCall(id)).toMatchObject({ outcome: OutcomeKind.ANSWERED });
    expect(await readEntries(mesh, id)).toHaveLength(2);
  });

  it("ends a stream that outlasts the drain time with an error, never as if it were whole, and accounts for it", async () => {
    await mesh.processes["router-eu"].restart();
    await mesh.waitRouterReady("eu", AbortSignal.timeout(30_000));
    const { id, rest } = await beginStream("scripted-hold");
    await mesh.processes["router-eu"].stop();
    expect(await rest).toBeInstanceOf(Error);

    expect(readdirSync(join(mesh.layout.router, "eu-1", "spool"))).toEqual([]);
    const call = await findCall(id);
    expect(call).toMatchObject({ outcome: OutcomeKind.CUT, reason: "DRAINING" });
    const cost = call?.attempts[0]?.lines.reduce((sum, line) => sum + line.costNanos, 0n) ?? 0n;
    expect(cost).toBeGreaterThan(0n);
    const charged = (await readEntries(mesh, id)).filter(({ amountNanos }) => amountNanos > 0n);
    expect(charged.map(({ amountNanos }) => amountNanos)).toEqual([cost]);
  });
});
