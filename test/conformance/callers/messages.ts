import { type Json, objectOf, objectsOf, type Turn, textOf } from "../provider/language.ts";
import { type Ask, type Caller, MAX_TOKENS, type Seen, type SeenError, TOOLS } from "./caller.ts";
import { exchange, readError, readEvents, readJson } from "./exchange.ts";

/** Asks as `@anthropic-ai/sdk` does; an error within a stream counts only when the event is named so, as there. */
export const messages: Caller = {
  name: "messages",
  async ask(gateway, ask, signal) {
    const headers = { "x-api-key": gateway.key, "anthropic-version": "2023-06-01" };
    const answer = await exchange(gateway, { path: "/v1/messages", headers, body: compose(ask) }, signal);
    const { status, headers: said, isClean, body } = answer;
    const base = { status, headers: said, isClean };
    if (status !== 200 || !ask.streamed) {
      return { ...base, ...readMessage(readJson(body)), error: readError(answer, findError) };
    }
    let message: Record<string, unknown> = {};
    const blocks: Record<string, unknown>[] = [];
    let error: SeenError | undefined;
    let hasMark = false;
    for (const { name, data } of readEvents(body)) {
      const event = readJson(data);
      if (name === "error") {
        error = findError(event) ?? { type: "of no known form", message: data };
        break;
      }
      if (name === "message_start") message = { ...objectOf(event.message) };
      if (name === "content_block_start")
        blocks[event.index as number] = { ...objectOf(event.content_block), json: "" };
      if (name === "content_block_delta") grow(blocks[event.index as number] ?? {}, objectOf(event.delta));
      if (name === "message_delta") {
        message = {
          ...message,
          ...objectOf(event.delta),
          usage: { ...objectOf(message.usage), ...objectOf(event.usage) },
        };
      }
      if (name === "message_stop") {
        hasMark = true;
        break;
      }
    }
    return { ...base, ...readMessage({ ...message, content: blocks }), error, hasMark };
  },
};

function grow(block: Record<string, unknown>, delta: Json): void {
  if (delta.type === "text_delta") block.text = textOf(block.text) + textOf(delta.text);
  if (delta.type === "thinking_delta") block.thinking = textOf(block.thinking) + textOf(delta.thinking);
  if (delta.type === "signature_delta") block.signature = textOf(block.signature) + textOf(delta.signature);
  if (delta.type === "input_json_delta") block.json = textOf(block.json) + textOf(delta.partial_json);
}

function compose({ model, streamed, turns, hasTools }: Ask): Json {
  const system = turns.flatMap((turn) => (turn.kind === "system" ? [{ type: "text", text: turn.text }] : []));
  const spoken: { role: string; content: Json[] }[] = [];
  for (const turn of turns) {
    if (turn.kind === "system") continue;
    const role =
      turn.kind === "assistant" || turn.kind === "tool use" || turn.kind === "reasoning" ? "assistant" : "user";
    if (spoken.at(-1)?.role !== role) spoken.push({ role, content: [] });
    spoken.at(-1)?.content.push(composeBlock(turn));
  }
  return {
    model,
    messages: spoken,
    max_tokens: MAX_TOKENS,
    ...(system.length > 0 && { system }),
    ...(hasTools && {
      tools: TOOLS.map(({ name, description, schema }) => ({ name, description, input_schema: schema })),
    }),
    ...(streamed && { stream: true }),
  };
}

function composeBlock(turn: Turn): Json {
  switch (turn.kind) {
    case "system":
    case "user":
    case "assistant":
      return { type: "text", text: turn.text };
    case "image":
      return { type: "image", source: { type: "base64", media_type: "image/png", data: turn.base64 } };
    case "tool use":
      return { type: "tool_use", id: turn.id, name: turn.name, input: turn.input };
    case "tool result":
      return { type: "tool_result", tool_use_id: turn.id, content: turn.text };
    case "reasoning":
      return { type: "thinking", thinking: turn.text, signature: turn.signature };
  }
}

function findError(json: Json): SeenError | undefined {
  if (json.type !== "error") return undefined;
  const { type, message } = objectOf(json.error);
  return { type: textOf(type), message: textOf(message) };
}

function readMessage(json: Json): Omit<Seen, "status" | "headers" | "isClean" | "error"> {
  const blocks = objectsOf(json.content);
  const usage = objectOf(json.usage);
  const count = (name: string) => (typeof usage[name] === "number" ? usage[name] : 0);
  return {
    text: blocks.map(({ type, text }) => (type === "text" ? textOf(text) : "")).join(""),
    refusal: "",
    tools: blocks.flatMap((block) => {
      if (block.type !== "tool_use") return [];
      // The streamed input stands as text, the whole one as an object.
      const input = textOf(block.json) || JSON.stringify(block.input);
      return [{ id: textOf(block.id), name: textOf(block.name), input }];
    }),
    reasoning: blocks.flatMap((block) =>
      block.type === "thinking" ? [{ text: textOf(block.thinking), signature: textOf(block.signature) }] : [],
    ),
    stop: textOf(json.stop_reason),
    usage:
      usage.input_tokens === undefined
        ? undefined
        : {
            input: count("input_tokens") + count("cache_read_input_tokens") + count("cache_creation_input_tokens"),
            output: count("output_tokens"),
          },
    hasMark: textOf(json.stop_reason) !== "",
  };
}
