// A conversation through each surface with a provider of each dialect: what is said on one side is what is heard on the other, in
// both directions and over several turns. The provider complains, as the real one does, of turns that do not fit together.
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

/** A PNG of one pixel. */
const PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==";

const PAIRS = CALLERS.flatMap((caller) =>
  DIALECTS.flatMap(({ name: dialect }) =>
    [false, true].map((streamed) => ({
      caller,
      from: caller.name,
      dialect,
      streamed,
      way: streamed ? "streamed" : "unary",
    })),
  ),
);

interface Pair {
  readonly caller: Caller;
  readonly dialect: string;
  readonly streamed: boolean;
}

let asked = 0;

/** Asks, and returns what was seen and what the provider heard. `turns` is given the command that the newest one carries. */
async function talk(pair: Pair, command: Partial<Command>, turns: (command: string) => Turn[], hasTools = true) {
  const id = `talk-${asked++}`;
  const sent = turns(writeCommand({ ...command, id }));
  const { caller, dialect: model, streamed } = pair;
  const seen = await caller.ask(gateway, { model, streamed, turns: sent, hasTools }, AbortSignal.timeout(30_000));
  const heard = provider.find(id).at(-1);
  if (seen.error !== undefined) throw new Error(`Cannot go on: ${seen.error.type}, ${seen.error.message}`);
  return { seen, sent, heard: heard?.asked.turns ?? [] };
}

/** Ids may be rewritten as long as results still name their uses; a result may be wrapped as the dialect wants it. */
function compare(turns: readonly Turn[]): unknown[] {
  const ids = new Map<string, number>();
  const number = (id: string) => ids.set(id, ids.get(id) ?? ids.size).get(id);
  return turns.flatMap((turn): unknown[] => {
    if (turn.kind === "tool use") return [{ ...turn, id: number(turn.id) }];
    if (turn.kind === "tool result") return [{ ...turn, id: number(turn.id), text: /\d+ metres/.exec(turn.text)?.[0] }];
    return turn.kind === "reasoning" ? [] : [turn];
  });
}

function toUses({ tools }: Seen): Turn[] {
  return tools.map(({ id, name, input }) => ({ kind: "tool use", id, name, input: JSON.parse(input) as unknown }));
}

describe("over each pair of a surface and a dialect", () => {
  it.each(PAIRS)("$from → $dialect, $way: system, prompt and picture arrive as they were sent", async (pair) => {
    const { sent, heard, seen } = await talk(pair, {}, (command) => [
      { kind: "system", text: "Answer — kurz und höflich 🌊" },
      { kind: "image", base64: PIXEL },
      { kind: "user", text: `What is in the picture? ${command}` },
    ]);

    expect(compare(heard)).toEqual(compare(sent));
    expect(seen.text).toBe(TEXT_PIECES.join(""));
  });

  it.each(PAIRS)("$from → $dialect, $way: a tool is called and its result goes back", async (pair) => {
    const first = (command: string): Turn[] => [
      { kind: "system", text: "Use the tools" },
      ...say(`How deep is the river? ${command}`),
    ];
    const { seen } = await talk(pair, { answer: "tool" }, first);
    const [use] = toUses(seen);
    const second = await talk(pair, {}, (command) => [
      ...first(""),
      use as Turn,
      { kind: "tool result", id: seen.tools[0]?.id ?? "", text: `4 metres ${command}` },
    ]);

    expect(seen.tools).toMatchObject([{ name: "lookup" }]);
    expect(JSON.parse(seen.tools[0]?.input ?? "")).toEqual({ question: "how deep — 🌊" });
    expect(compare(second.heard)).toEqual(compare(second.sent));
    expect(second.seen.text).toBe(TEXT_PIECES.join(""));
  });

  it.each(PAIRS)("$from → $dialect, $way: parallel tools are called, and their results go back", async (pair) => {
    const { seen, sent } = await talk(pair, { answer: "tools" }, (command) => say(`How deep? ${command}`));
    const uses = toUses(seen);
    const second = await talk(pair, {}, (command) => [
      ...sent,
      { kind: "assistant", text: seen.text },
      ...uses,
      ...seen.tools.map(
        ({ id }, index): Turn => ({
          kind: "tool result",
          id,
          text: `${index + 4} metres ${index === 1 ? command : ""}`,
        }),
      ),
    ]);
    const third = await talk(pair, {}, (command) => [
      ...second.sent,
      { kind: "assistant", text: second.seen.text },
      ...say(`And now? ${command}`),
    ]);

    expect(seen.tools.map(({ name }) => name)).toEqual(["lookup", "measure"]);
    expect(compare(second.heard)).toEqual(compare(second.sent));
    expect(compare(third.heard)).toEqual(compare(third.sent));
  });

  // Chat completions, in which OpenAI and Azure are asked, have no signatures.
  const signed = PAIRS.filter(
    ({ from, dialect }) => !["openai", "azure"].includes(dialect) || (from === "responses" && dialect === "openai"),
  );
  it.each(signed)("$from → $dialect, $way: the signature of reasoning goes back byte for byte", async (pair) => {
    const { seen, sent } = await talk(pair, { answer: "reasoning" }, (command) => say(`How deep? ${command}`));
    const { heard } = await talk(pair, {}, (command) => [
      ...sent,
      ...seen.reasoning.map(({ text, signature }): Turn => ({ kind: "reasoning", text, signature })),
      { kind: "assistant", text: seen.text },
      ...say(`And now? ${command}`),
    ]);

    // Gemini signs behind the text, so that thought and signature may stand apart; a thought without one need not go back.
    const thoughts = heard.flatMap((turn) => (turn.kind === "reasoning" ? [turn] : []));
    expect(seen.reasoning.map(({ text }) => text).join("")).toBe("Water is deep.");
    expect(["", "Water is deep."]).toContain(thoughts.map(({ text }) => text).join(""));
    // Responses may put a mark before it on the way to the caller, and take it off again.
    expect(seen.reasoning.map(({ signature }) => signature).join("")).toContain(SIGNATURE);
    expect(thoughts.map(({ signature }) => signature).join("")).toBe(SIGNATURE);
  });
});
