import type { Answer, AnswerBlock, AnswerTokens } from "./answer.ts";
import {
  type Asked,
  type AskedRequest,
  type ErrorAnswer,
  findUnansweredTool,
  type Json,
  type Language,
  objectOf,
  objectsOf,
  parseInput,
  type StreamEvent,
  type Turn,
  textOf,
  toEvent,
} from "./language.ts";

const FINISH = { end: "stop", refusal: "stop", length: "length", tool: "tool_calls", filtered: "content_filter" };

/**
 * OpenAI chat completions (https://platform.openai.com/docs/api-reference/chat). Where the path names a deployment it speaks as Azure
 * does (https://learn.microsoft.com/azure/ai-services/openai/reference): the model is the path's, `api-version` must be there, and
 * streams begin with an event about the prompt's filters that has no choices.
 */
export const chatCompletions: Language = {
  streamType: "text/event-stream; charset=utf-8",
  readAsked(request) {
    const { body } = request;
    const deployment = findDeployment(request.path);
    const turns = objectsOf(body.messages).flatMap(readMessage);
    return {
      model: deployment ?? textOf(body.model),
      streamed: body.stream === true,
      candidates: typeof body.n === "number" ? body.n : 1,
      wantsUsage: objectOf(body.stream_options).include_usage === true,
      complaint: findComplaint(request, turns),
      turns,
    };
  },
  composeWhole(answer, asked) {
    const choices = listCandidates(answer).map((index) => ({
      index,
      message: { role: "assistant", content: null, refusal: null, ...composeMessage(answer.blocks) },
      logprobs: null,
      finish_reason: FINISH[answer.stop],
    }));
    const whole = { ...composeBase(answer, "chat.completion"), choices };
    const usage = answer.tokens === undefined ? {} : { usage: toUsage(answer.tokens) };
    return { ...whole, ...usage, ...(isAzure(asked) && { prompt_filter_results: FILTERS }) };
  },
  composeEvents(answer, asked) {
    const event = (part: StreamEvent["part"], choices: unknown, usage: unknown = null) =>
      toEvent(part, {
        ...composeBase(answer, "chat.completion.chunk"),
        choices,
        ...(asked.wantsUsage && { usage }),
      });
    const events: StreamEvent[] = [];
    if (isAzure(asked)) {
      const about = { id: "", object: "", created: 0, model: "", choices: [], prompt_filter_results: FILTERS };
      events.push(toEvent("preamble", about));
    }
    for (const index of listCandidates(answer)) {
      const delta = (part: StreamEvent["part"], content: object, finish: string | null = null) =>
        events.push(event(part, [{ index, delta: content, logprobs: null, finish_reason: finish }]));
      delta("preamble", { role: "assistant", content: "", refusal: null });
      let tools = 0;
      for (const block of answer.blocks) {
        if (block.kind === "tool") {
          const tool = tools++;
          const opened = { index: tool, id: `call_${block.id}`, type: "function" };
          delta("content", { tool_calls: [{ ...opened, function: { name: block.name, arguments: "" } }] });
          for (const piece of block.pieces)
            delta("content", { tool_calls: [{ index: tool, function: { arguments: piece } }] });
        } else {
          for (const piece of block.pieces) delta("content", { [toMember(block.kind)]: piece });
        }
      }
      delta("closing", {}, FINISH[answer.stop]);
    }
    if (asked.wantsUsage && answer.tokens !== undefined) events.push(event("closing", [], toUsage(answer.tokens)));
    events.push(toEvent("mark", "[DONE]"));
    return events;
  },
  composeError: (status, retryAfterS) => composeOpenAiError(status, retryAfterS),
  composeStreamError: () =>
    toEvent("closing", { error: { message: "The server had an error", type: "server_error", param: null, code: null } })
      .bytes,
  composeMalformed: () => Buffer.from('data: {"id":"chatcmpl-broken","choices":[{"index":0,"delta":{"cont\n\n'),
};

/** An error as OpenAI writes it (https://platform.openai.com/docs/guides/error-codes). */
export function composeOpenAiError(status: number, retryAfterS: number | undefined): ErrorAnswer {
  const type = status === 429 ? "requests" : status >= 500 ? "server_error" : "invalid_request_error";
  const code = status === 429 ? "rate_limit_exceeded" : status === 401 ? "invalid_api_key" : null;
  return {
    headers: { "x-request-id": "req_provider", ...(retryAfterS !== undefined && { "retry-after": `${retryAfterS}` }) },
    body: JSON.stringify({ error: { message: `A scripted failure with ${status}`, type, param: null, code } }),
  };
}

const FILTERS = [{ prompt_index: 0, content_filter_results: { hate: { filtered: false, severity: "safe" } } }];

/** Models of deployments are remembered with this in front, so that an answer knows how its question came. */
const AZURE_MARK = "azure:";

function findDeployment(path: string): string | undefined {
  const deployment = /\/deployments\/([^/]+)\//.exec(path)?.[1];
  return deployment === undefined ? undefined : AZURE_MARK + deployment;
}

function isAzure({ model }: Asked): boolean {
  return model.startsWith(AZURE_MARK);
}

function composeBase(answer: Answer, object: string): Json {
  return {
    id: `chatcmpl-${answer.id}`,
    object,
    created: answer.createdS,
    model: answer.model.replace(AZURE_MARK, ""),
    system_fingerprint: "fp_weir",
  };
}

function listCandidates({ candidates }: Answer): number[] {
  return Array.from({ length: candidates }, (_, index) => index);
}

/** Reasoning has no place in OpenAI's own answers; compatible servers (vLLM, DeepSeek) call it `reasoning_content`. */
function toMember(kind: "text" | "refusal" | "reasoning"): string {
  return kind === "text" ? "content" : kind === "refusal" ? "refusal" : "reasoning_content";
}

function composeMessage(blocks: readonly AnswerBlock[]): Json {
  const message: Record<string, unknown> = {};
  const calls: Json[] = [];
  for (const block of blocks) {
    const text = block.pieces.join("");
    if (block.kind !== "tool") message[toMember(block.kind)] = text;
    else calls.push({ id: `call_${block.id}`, type: "function", function: { name: block.name, arguments: text } });
  }
  return { ...message, ...(calls.length > 0 && { tool_calls: calls }) };
}

function toUsage({ input, cached, written, output, reasoning }: AnswerTokens): Json {
  const [prompt, completion] = [input + cached + written, output + reasoning];
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: cached, audio_tokens: 0 },
    completion_tokens_details: { reasoning_tokens: reasoning, audio_tokens: 0 },
  };
}

function readMessage(message: Json): Turn[] {
  const turns: Turn[] = [];
  const { role } = message;
  const kind = role === "system" || role === "developer" ? "system" : role === "assistant" ? "assistant" : "user";
  if (role === "tool") {
    const text = readTexts(message.content).join("");
    return [{ kind: "tool result", id: textOf(message.tool_call_id).replace(/^call_/, ""), text }];
  }
  for (const part of objectsOf(message.content)) {
    const url = textOf(objectOf(part.image_url).url);
    if (url.startsWith("data:")) turns.push({ kind: "image", base64: url.slice(url.indexOf(",") + 1) });
  }
  for (const text of readTexts(message.content)) turns.push({ kind, text });
  for (const call of objectsOf(message.tool_calls)) {
    const called = objectOf(call.function);
    const id = textOf(call.id).replace(/^call_/, "");
    turns.push({ kind: "tool use", id, name: textOf(called.name), input: parseInput(textOf(called.arguments)) });
  }
  return turns;
}

function readTexts(content: unknown): string[] {
  if (typeof content === "string") return [content];
  return objectsOf(content).flatMap(({ type, text }) => (type === "text" ? [textOf(text)] : []));
}

function findComplaint({ path, query, body }: AskedRequest, turns: readonly Turn[]): string | undefined {
  if (findDeployment(path) !== undefined) {
    if (query.get("api-version") === null) return "api-version is missing";
  } else if (textOf(body.model) === "") return "you must provide a model parameter";
  if (!Array.isArray(body.messages) || body.messages.length === 0) return "messages is missing";
  if (body.stream_options !== undefined && body.stream_options !== null && body.stream !== true) {
    return "stream_options is only allowed when stream is enabled";
  }
  // The format has no such member; strict servers, such as Mistral's, refuse what they do not know.
  if (objectsOf(body.messages).some((message) => message.reasoning_details !== undefined)) {
    return "Unknown parameter: 'messages[1].reasoning_details'";
  }
  return findUnansweredTool(turns);
}
