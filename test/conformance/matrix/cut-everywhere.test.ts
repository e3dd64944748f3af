// A stream that is cut, wherever it is cut, never looks like a whole one, and always leaves one usage and one record. What reads a
// provider's bytes is tried at each byte of an answer: through a surface that relays them, or else through ChatService. Other pairs stand
// on the same readers and are cut at each thirteenth byte, or with `WEIR_CUT_STRIDE=1` at each as well.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ManualClock } from "../../../services/shared/clock.ts";
import { type Caller, type CallerName, type Gateway, looksWhole, type Seen, say } from "../callers/caller.ts";
import { closeGrpcClients } from "../callers/grpc.ts";
import { composeAnswer } from "../provider/answer.ts";
import { type Command, NO_FAULT, writeCommand } from "../provider/command.ts";
import { layOut } from "../provider/perform.ts";
import { type ConformanceProvider, startConformanceProvider } from "../provider/provider.ts";
import { CALLERS } from "./columns.ts";
import { DIALECTS, type MatrixRouter, startMatrixRouter } from "./router.ts";

const STRIDE = Number(process.env.WEIR_CUT_STRIDE ?? 13);
const WIDTH = 24;

let provider: ConformanceProvider;
let router: MatrixRouter;
let gateway: Gateway;

beforeAll(async () => {
  provider = await startConformanceProvider();
  // While time stands still, who has answered once is asked by all who have nowhere else to go, however often it fails.
  router = await startMatrixRouter(provider.address, { clock: new ManualClock(Date.now()) });
  gateway = { origin: router.harness.address, key: router.harness.key, headers: {} };
});

afterAll(async () => {
  closeGrpcClients();
  await router?.close();
  await provider?.close();
});

function ask(caller: Caller, model: string, command: Partial<Command>): Promise<Seen> {
  const turns = say(`How deep is the river? ${writeCommand(command)}`);
  return caller.ask(gateway, { model, streamed: true, turns }, AbortSignal.timeout(60_000));
}

/** Whether this pair is the one by which a reader is tried: one that goes on as it comes, or, where callers write no such format, typed. */
function isTried(caller: CallerName, dialect: string): boolean {
  if (caller === "messages") return dialect === "anthropic";
  if (caller === "grpc") return dialect === "gemini" || dialect === "bedrock";
  return dialect === "openai";
}

/** A short answer, so that each of its bytes can be tried. */
const ANSWER = { answer: "length" } as const;

describe.each(CALLERS)("a stream of $name", (caller) => {
  it.each(DIALECTS)("cut at any byte by a provider of $name is never taken for whole", async ({ name }) => {
    const id = `${caller.name}-${name}`;
    await ask(caller, name, { ...ANSWER, id });
    const call = provider.find(id)[0];
    if (call === undefined) throw new Error("Cannot cut the stream: the provider was not asked");
    const asked = { model: call.asked.model, candidates: 1, id: "weir000000000", nowMs: Date.now() };
    const { bytes, contentAt, wholeAt } = layOut(
      call.language,
      composeAnswer({ ...NO_FAULT, ...ANSWER }, asked),
      call.asked,
    );

    const stride = isTried(caller.name, name) ? 1 : STRIDE;
    const count = Math.ceil(bytes.length / stride);
    const wrong: string[] = [];
    const ids: string[] = [];
    const offsets = Array.from({ length: count }, (_, index) => index * stride).values();
    const work = async () => {
      for (const offset of offsets) {
        const seen = await ask(caller, name, { ...ANSWER, fault: "cut", bytes: offset });
        const where = `cut after ${offset} of ${bytes.length} bytes (content from ${contentAt}, whole at ${wholeAt})`;
        const isWhole = looksWhole(seen);
        if (offset < wholeAt && (isWhole || seen.error === undefined)) wrong.push(`${where}: looks whole`);
        if (isWhole && seen.text !== "The weir ho") wrong.push(`${where}: whole, but text is "${seen.text}"`);
        if (seen.headers["x-request-id"] === undefined) wrong.push(`${where}: no x-request-id`);
        else ids.push(seen.headers["x-request-id"]);
      }
    };
    await Promise.all(Array.from({ length: WIDTH }, work));
    for (const one of ids) {
      const row = await router.ledger.get(one);
      if (row.usages !== 1 || row.records !== 1) wrong.push(`${row.usages} usages, ${row.records} records`);
      if (row.outcome !== "FAILED" && row.output === 0) wrong.push(`${row.outcome}, and no token`);
    }

    expect(wrong).toEqual([]);
    expect(new Set(ids).size).toBe(count);
  });
});
