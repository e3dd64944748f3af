import { type Json, objectOf, objectsOf, textOf } from "../provider/language.ts";
import { type Ask, type Caller, NO_CONTENT, type Seen, type SeenError } from "./caller.ts";
import { findOpenAiError } from "./chat-completions.ts";
import { exchange, readError, readJson } from "./exchange.ts";

/** The prompt, which carries the command. */
function joinTurns({ turns }: Ask): string {
  return turns.map((turn) => (turn.kind === "user" ? turn.text : "")).join("");
}

/** Asks for an embedding, as `client.embeddings` of the `openai` client does. What is seen as text is the vector. */
export const embeddings: Caller = {
  name: "embeddings",
  async ask(gateway, ask, signal) {
    const headers = { authorization: `Bearer ${gateway.key}` };
    const asked = { model: ask.model, input: joinTurns(ask), encoding_format: "float" };
    const answer = await exchange(gateway, { path: "/v1/embeddings", headers, body: asked }, signal);
    const json = readJson(answer.body);
    const vector = objectOf(objectsOf(json.data)[0]).embedding;
    const { prompt_tokens: input } = objectOf(json.usage);
    return toSeen(answer, readError(answer, findOpenAiError), {
      text: Array.isArray(vector) ? vector.slice(1).join(" ") : "",
      usage: typeof input === "number" ? { input, output: 0 } : undefined,
      hasMark: json.object === "list",
    });
  },
};

/** Asks how many tokens a request has, as `client.messages.countTokens` of Anthropic's client does. What is seen as text is the number. */
export const countTokens: Caller = {
  name: "count-tokens",
  async ask(gateway, ask, signal) {
    const headers = { "x-api-key": gateway.key, "anthropic-version": "2023-06-01" };
    const asked = { model: ask.model, messages: [{ role: "user", content: joinTurns(ask) }] };
    const answer = await exchange(gateway, { path: "/v1/messages/count_tokens", headers, body: asked }, signal);
    const { input_tokens: input } = readJson(answer.body);
    const isNumber = typeof input === "number";
    return toSeen(answer, readError(answer, findAnthropicError), {
      text: isNumber ? String(input) : "",
      usage: isNumber ? { input, output: 0 } : undefined,
      hasMark: isNumber,
    });
  },
};

function toSeen(
  { status, headers, isClean }: Pick<Seen, "status" | "headers" | "isClean">,
  error: SeenError | undefined,
  found: Pick<Seen, "text" | "usage" | "hasMark">,
): Seen {
  return { ...NO_CONTENT, status, headers, isClean, error, ...found };
}

function findAnthropicError(json: Json): SeenError | undefined {
  if (json.type !== "error") return undefined;
  const { type, message } = objectOf(json.error);
  return { type: textOf(type), message: textOf(message) };
}
