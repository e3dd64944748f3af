import { type Json, objectOf, objectsOf, type Turn, textOf } from "../provider/language.ts";
import { type Ask, type Caller, MAX_TOKENS, type Seen, type SeenError, TOOLS } from "./caller.ts";
import { exchange, readError, readEvents, readJson } from "./exchange.ts";

/** Asks as the `openai` client does, and reads as its `src/core/streaming.ts` does. */
export const chatCompletions: Caller = { name: "chat-completions", ask: createAsk(1) };

/** The same with two candidates, which must come to the same: where they do not, their texts and stops stand side by side. */
export const twoChatCompletions: Caller = { name: "chat-completions-2", ask: createAsk(2) };

function createAsk(candidates: number): Caller["ask"] {
  const numbers = Array.from({ length: candidates }, (_, index) => index);
  return async (gateway, ask, signal) => {
    const headers = { authorization: `Bearer ${gateway.key}` };
    const asked = { ...compose(ask), ...(candidates > 1 && { n: candidates }) };
    const answer = await exchange(gateway, { path: "/v1/chat/completions", headers, body: asked }, signal);
    const { status, headers: said, isClean, body } = answer;
    const base = { status, headers: said, isClean };
    if (status !== 200 || !ask.streamed) {
      const error = readError(answer, findOpenAiError);
      const json = readJson(body);
      const read = numbers.map((index) => {
        const choice = findChoice(json, index);
        return { error, ...readMessage(objectOf(choice.message)), ...readRest(choice, json.usage) };
      });
      return { ...base, ...join(read) };
    }
    const readers = numbers.map((index) => new ChunkReader(index));
    for (const { data } of readEvents(body)) if (!readers.map((reader) => reader.read(data)).every(Boolean)) break;
    return { ...base, ...join(readers.map(({ seen }) => seen)) };
  };
}

function findChoice(json: Json, index: number): Json {
  return objectOf(objectsOf(json.choices).find((choice) => (choice.index ?? 0) === index));
}

type Candidate = Omit<Seen, "status" | "headers" | "isClean">;

function join(candidates: readonly Candidate[]): Candidate {
  const [first, second] = candidates as [Candidate, Candidate?];
  if (second === undefined) return first;
  const both = (one: string, other: string) => (one === other ? one : `${one} | ${other}`);
  return {
    ...first,
    text: both(first.text, second.text),
    stop: both(first.stop, second.stop),
    refusal: both(first.refusal, second.refusal),
    tools: JSON.stringify(first.tools) === JSON.stringify(second.tools) ? first.tools : [],
    hasMark: first.hasMark && second.hasMark,
  };
}

function compose({ model, streamed, turns, hasTools }: Ask): Json {
  const messages: Json[] = [];
  for (const turn of turns) messages.push(...composeTurn(turn, messages));
  return {
    model,
    messages,
    max_completion_tokens: MAX_TOKENS,
    ...(hasTools && {
      tools: TOOLS.map(({ name, description, schema }) => ({
        type: "function",
        function: { name, description, parameters: schema },
      })),
    }),
    ...(streamed && { stream: true, stream_options: { include_usage: true } }),
  };
}

/** The messages that a turn adds; what belongs to the message before it is put there. */
function composeTurn(turn: Turn, earlier: Json[]): Json[] {
  const last = earlier.at(-1) as
    | { role?: string; content?: unknown; tool_calls?: Json[]; reasoning_details?: Json[] }
    | undefined;
  switch (turn.kind) {
    case "system":
    case "user":
      if (last?.role === "user" && Array.isArray(last.content)) {
        last.content.push({ type: "text", text: turn.text });
        return [];
      }
      return [{ role: turn.kind, content: turn.text }];
    case "assistant":
      if (last?.role === "assistant" && last.content === null && last.tool_calls === undefined) {
        last.content = turn.text;
        return [];
      }
      return [{ role: "assistant", content: turn.text }];
    case "image": {
      const image = { type: "image_url", image_url: { url: `data:image/png;base64,${turn.base64}` } };
      return [{ role: "user", content: [image] }];
    }
    case "tool use": {
      const called = { name: turn.name, arguments: JSON.stringify(turn.input) };
      const call = { id: turn.id, type: "function", function: called };
      if (last?.role !== "assistant") return [{ role: "assistant", content: null, tool_calls: [call] }];
      last.tool_calls = [...(last.tool_calls ?? []), call];
      return [];
    }
    case "tool result":
      return [{ role: "tool", tool_call_id: turn.id, content: turn.text }];
    case "reasoning": {
      // As clients do that put the whole message of an answer back.
      const { text, signature } = turn;
      if (signature === "") return [{ role: "assistant", content: null, reasoning_content: text }];
      const before = last?.role === "assistant" && last.content === null ? (last.reasoning_details ?? []) : [];
      const detail = { index: before.length, type: "reasoning.text", text, signature };
      if (before.length === 0) {
        return [{ role: "assistant", content: null, reasoning_content: text, reasoning_details: [detail] }];
      }
      before.push(detail);
      return [];
    }
  }
}

/** The error member of a body or an event. */
export function findOpenAiError(json: Json): SeenError | undefined {
  if (!json.error) return undefined;
  const { type, message } = objectOf(json.error);
  return { type: textOf(type), message: textOf(message) };
}

function readMessage(message: Json): Pick<Seen, "text" | "refusal" | "tools" | "reasoning"> {
  const thought = textOf(message.reasoning_content);
  const details = objectsOf(message.reasoning_details);
  return {
    text: textOf(message.content),
    refusal: textOf(message.refusal),
    tools: objectsOf(message.tool_calls).map((call) => {
      const called = objectOf(call.function);
      return { id: textOf(call.id), name: textOf(called.name), input: textOf(called.arguments) };
    }),
    reasoning:
      details.length > 0
        ? details.map(({ text, signature }) => ({ text: textOf(text), signature: textOf(signature) }))
        : thought === ""
          ? []
          : [{ text: thought, signature: "" }],
  };
}

function readRest(choice: Json, usage: unknown): Pick<Seen, "stop" | "usage" | "hasMark"> {
  const { prompt_tokens: input, completion_tokens: output } = objectOf(usage);
  return {
    stop: textOf(choice.finish_reason),
    usage: typeof input === "number" && typeof output === "number" ? { input, output } : undefined,
    hasMark: textOf(choice.finish_reason) !== "",
  };
}

class ChunkReader {
  readonly #index: number;
  readonly seen = {
    text: "",
    refusal: "",
    tools: [] as { id: string; name: string; input: string }[],
    reasoning: [] as { text: string; signature: string }[],
    stop: "",
    usage: undefined as Seen["usage"],
    error: undefined as SeenError | undefined,
    hasMark: false,
  };

  /** Reads the candidate of this number. */
  constructor(index: number) {
    this.#index = index;
  }

  /** Takes an event; false when a client would read no further. */
  read(data: string): boolean {
    const { seen } = this;
    if (data.startsWith("[DONE]")) {
      seen.hasMark = true;
      return false;
    }
    const json = readJson(data);
    seen.error = findOpenAiError(json);
    if (seen.error === undefined && Object.keys(json).length === 0) {
      seen.error = { type: "no JSON", message: data.slice(0, 200) };
    }
    if (seen.error !== undefined) return false;
    const choice = findChoice(json, this.#index);
    const delta = objectOf(choice.delta);
    const { text, refusal, reasoning } = readMessage(delta);
    seen.text += text;
    seen.refusal += refusal;
    const details = objectsOf(delta.reasoning_details);
    for (const [at, thought] of reasoning.entries()) {
      const index = typeof details[at]?.index === "number" ? details[at].index : 0;
      seen.reasoning[index] ??= { text: "", signature: "" };
      seen.reasoning[index].text += thought.text;
      seen.reasoning[index].signature += thought.signature;
    }
    for (const call of objectsOf(delta.tool_calls)) {
      const called = objectOf(call.function);
      const index = call.index as number;
      seen.tools[index] ??= { id: "", name: "", input: "" };
      seen.tools[index].id += textOf(call.id);
      seen.tools[index].name += textOf(called.name);
      seen.tools[index].input += textOf(called.arguments);
    }
    const { stop, usage } = readRest(choice, json.usage);
    seen.stop ||= stop;
    seen.usage ??= usage;
    return true;
  }
}
