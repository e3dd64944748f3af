// A conversation with reasoning that goes on at another target than the one that reasoned, and comes back: what one maker's model signed
// the others refuse, so that it must not reach them, and must be there again, byte for byte, when the conversation returns.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Caller, type Gateway, type Seen, say } from "../callers/caller.ts";
import { closeGrpcClients } from "../callers/grpc.ts";
import { SIGNATURE, TEXT_PIECES } from "../provider/answer.ts";
import { type Command, writeCommand } from "../provider/command.ts";
import type { Turn } from "../provider/language.ts";
import { type ConformanceProvider, startConformanceProvider } from "../provider/provider.ts";
import { CALLERS } from "./columns.ts";
import { DIALECTS, type MatrixRouter, startMatrixRouter } from "./router.ts";

let provider: ConformanceProvider;
let router: MatrixRouter;
let gateway: Gateway;

beforeAll(async () => {
  provider = await startConformanceProvider();
  router = await startMatrixRouter(provider.address);
  gateway = { origin: router.harness.address, key: router.harness.key, headers: {} };
});

afterAll(async () => {
  closeGrpcClients();
  await router?.close();
  await provider?.close();
});

/** Azure speaks as OpenAI does. */
const NAMES = DIALECTS.map(({ name }) => name).filter((name) => name !== "azure");
const MOVES = CALLERS.flatMap((caller) =>
  NAMES.flatMap((first) =>
    NAMES.filter((second) => second !== first).map((second) => ({ caller, from: caller.name, first, second })),
  ),
);

let asked = 0;

async function ask(
  caller: Caller,
  model: string,
  streamed: boolean,
  command: Partial<Command>,
  turns: readonly Turn[],
) {
  const id = `move-${asked++}`;
  const sent = [...turns, ...say(`How deep? ${writeCommand({ ...command, id })}`)];
  const seen = await caller.ask(gateway, { model, streamed, turns: sent, hasTools: true }, AbortSignal.timeout(30_000));
  if (seen.error !== undefined) throw new Error(`Cannot go on: ${seen.error.type}, ${seen.error.message}`);
  const call = provider.find(id).at(-1);
  return { seen, sent, body: call?.body ?? "", heard: call?.asked.turns ?? [] };
}

/** The turns that a client keeps of an answer. */
function keep({ reasoning, text }: Seen): Turn[] {
  const thoughts = reasoning.map((thought): Turn => ({ kind: "reasoning", ...thought }));
  return [...thoughts, { kind: "assistant", text }];
}

const readSignatures = (turns: readonly Turn[]) =>
  turns.flatMap((turn) => (turn.kind === "reasoning" && turn.signature !== "" ? [turn.signature] : []));

/** Whether the two are one maker's, whose models take each other's signatures: Claude, wherever it is served. */
const areOfOneMaker = (first: string, second: string) =>
  [first, second].every((name) => name === "anthropic" || name === "bedrock");

describe.each([false, true])("a conversation that has reasoned, streamed: %s", (streamed) => {
  it.each(MOVES)("$from: goes on from $first at $second, and back", async ({ caller, first, second }) => {
    const begun = await ask(caller, first, streamed, { answer: "reasoning" }, []);
    const kept = [...begun.sent, ...keep(begun.seen)];
    const moved = await ask(caller, second, streamed, { answer: "reasoning" }, kept);
    const returned = await ask(caller, first, streamed, {}, [...moved.sent, ...keep(moved.seen)]);

    expect(moved.seen.text).toBe(TEXT_PIECES.join(""));
    expect(returned.seen.text).toBe(TEXT_PIECES.join(""));
    // The marks with which Weir tells signatures apart are nothing to a provider.
    expect(moved.body + returned.body).not.toContain("~weir-");
    const isShared = areOfOneMaker(first, second);
    expect(readSignatures(moved.heard)).toEqual(isShared ? [SIGNATURE] : []);
    const isKept = first !== "openai" || caller.name === "responses";
    expect(readSignatures(returned.heard)).toEqual(isKept ? (isShared ? [SIGNATURE, SIGNATURE] : [SIGNATURE]) : []);
  });
});
