import { type Json, objectOf, objectsOf, type Turn, textOf } from "../provider/language.ts";
import { type Ask, type Caller, MAX_TOKENS, type Seen, type SeenError, TOOLS } from "./caller.ts";
import { findOpenAiError } from "./chat-completions.ts";
import { exchange, readError, readEvents, readJson } from "./exchange.ts";

/** Asks as `client.responses` of the `openai` client does. */
export const responses: Caller = {
  name: "responses",
  async ask(gateway, ask, signal) {
    const headers = { authorization: `Bearer ${gateway.key}` };
    const answer = await exchange(gateway, { path: "/v1/responses", headers, body: compose(ask) }, signal);
    const { status, headers: said, isClean, body } = answer;
    const base = { status, headers: said, isClean };
    if (status !== 200 || !ask.streamed) {
      const json = readJson(body);
      return { ...base, ...readResponse(json), error: readError(answer, findOpenAiError) };
    }
    let error: SeenError | undefined;
    let end: Json | undefined;
    let text = "";
    for (const { data } of readEvents(body)) {
      const event = readJson(data);
      if (event.type === "error" || event.error) {
        // The error's members stand on the event itself.
        error = findOpenAiError(event) ?? { type: textOf(event.code) || "error", message: textOf(event.message) };
        break;
      }
      if (event.type === "response.output_text.delta") text += textOf(event.delta);
      if (event.type === "response.failed") {
        const { code, message } = objectOf(objectOf(event.response).error);
        error = { type: textOf(code), message: textOf(message) };
        break;
      }
      if (event.type === "response.completed" || event.type === "response.incomplete") {
        end = objectOf(event.response);
        break;
      }
    }
    return { ...base, ...readResponse(end ?? {}), text, error };
  },
};

function compose({ model, streamed, turns, hasTools }: Ask): Json {
  const input: Json[] = [];
  for (const turn of turns) input.push(...composeTurn(turn, input));
  const instructions = turns.flatMap((turn) => (turn.kind === "system" ? [turn.text] : [])).join("");
  return {
    model,
    input,
    max_output_tokens: MAX_TOKENS,
    ...(instructions !== "" && { instructions }),
    ...(hasTools && {
      tools: TOOLS.map(({ name, description, schema }) => ({
        type: "function",
        name,
        description,
        parameters: schema,
        strict: false,
      })),
    }),
    ...(streamed && { stream: true }),
  };
}

function composeTurn(turn: Turn, before: Json[]): Json[] {
  const last = before.at(-1) as { role?: string; content?: unknown } | undefined;
  switch (turn.kind) {
    case "system":
      return [];
    case "user":
      if (last?.role === "user" && Array.isArray(last.content)) {
        last.content.push({ type: "input_text", text: turn.text });
        return [];
      }
      return [{ role: "user", content: turn.text }];
    case "assistant":
      return [{ role: "assistant", content: turn.text }];
    case "image": {
      const image = { type: "input_image", detail: "auto", image_url: `data:image/png;base64,${turn.base64}` };
      return [{ role: "user", content: [image] }];
    }
    case "tool use":
      return [{ type: "function_call", call_id: turn.id, name: turn.name, arguments: JSON.stringify(turn.input) }];
    case "tool result":
      return [{ type: "function_call_output", call_id: turn.id, output: turn.text }];
    case "reasoning": {
      const summary = turn.text === "" ? [] : [{ type: "summary_text", text: turn.text }];
      return [{ type: "reasoning", id: "rs_earlier", summary, encrypted_content: turn.signature }];
    }
  }
}

function readResponse(json: Json): Omit<Seen, "status" | "headers" | "isClean" | "error"> {
  const output = objectsOf(json.output);
  const contents = output.flatMap(({ type, content }) => (type === "message" ? objectsOf(content) : []));
  const join = (member: string) => contents.map((part) => textOf(part[member])).join("");
  const { input_tokens: input, output_tokens: out } = objectOf(json.usage);
  const reason = textOf(objectOf(json.incomplete_details).reason);
  return {
    text: join("text"),
    refusal: join("refusal"),
    tools: output.flatMap((item) =>
      item.type === "function_call"
        ? [{ id: textOf(item.call_id), name: textOf(item.name), input: textOf(item.arguments) }]
        : [],
    ),
    reasoning: output.flatMap((item) => {
      if (item.type !== "reasoning") return [];
      const text = objectsOf(item.summary).map((part) => textOf(part.text));
      return [{ text: text.join(""), signature: textOf(item.encrypted_content) }];
    }),
    stop: reason === "" ? textOf(json.status) : `${textOf(json.status)}: ${reason}`,
    usage: typeof input === "number" && typeof out === "number" ? { input, output: out } : undefined,
    hasMark: json.status === "completed" || json.status === "incomplete",
  };
}
