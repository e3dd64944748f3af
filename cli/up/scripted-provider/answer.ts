import type { Script } from "./script.ts";

/** What the provider reads of a chat completions request. The rest is accepted and ignored. */
export interface ChatRequest {
  readonly model: string;
  readonly messages: readonly unknown[];
  readonly stream?: boolean;
  readonly stream_options?: { include_usage?: boolean } | null;
  readonly n?: number | null;
  readonly tools?: readonly { function?: { name?: string } }[];
}

/** A whole answer, before it is cut into events or sent in one piece. */
export interface Answer {
  readonly id: string;
  readonly created: number;
  readonly model: string;
  /** The pieces of content; empty when a tool is called. */
  readonly pieces: readonly string[];
  readonly toolCall?: { readonly id: string; readonly name: string; readonly arguments: readonly string[] };
  readonly promptTokens: number;
}

/** Marks every answer as scripted, for whoever reads it as text or as JSON. */
const FINGERPRINT = "weir-scripted-provider";

/** Tokens of a text, as this provider counts them: a quarter of its bytes, rounded up. Deterministic, so that a bill can be checked. */
function countTokens(text: string): number {
  return Math.ceil(Buffer.byteLength(text) / 4);
}

/** Composes the answer that a script gives to a request. A function of its arguments. */
export function composeAnswer(request: ChatRequest, script: Script, id: string, nowMs: number): Answer {
  const count = script.chunks ?? 4;
  const pieces = script.tools ? [] : ["This is a scripted answer", ...Array(Math.max(0, count - 1)).keys()].map(String);
  return {
    id,
    created: Math.floor(nowMs / 1000),
    model: request.model,
    pieces: pieces.map((piece, index) => (index === 0 ? piece : ` piece-${index}`)),
    ...(script.tools
      ? {
          toolCall: {
            id: `call_${id.slice(-12)}`,
            name: request.tools?.[0]?.function?.name ?? "lookup",
            arguments: ['{"quest', 'ion":"scri', 'pted"}'],
          },
        }
      : {}),
    promptTokens: countTokens(JSON.stringify(request.messages)),
  };
}

/** Tokens of what was answered, up to a number of pieces. */
export function countAnswer(answer: Answer, pieces = answer.pieces.length): number {
  const text = answer.toolCall ? answer.toolCall.arguments.join("") : answer.pieces.slice(0, pieces).join("");
  return text === "" ? 0 : countTokens(text);
}

/** The `usage` object that a script makes of the true numbers; `undefined` when it hides them. */
function composeUsage(answer: Answer, script: Script): Record<string, unknown> | undefined {
  const completion = countAnswer(answer);
  switch (script.usage ?? "honest") {
    case "none":
      return undefined;
    case "inflated":
      return toUsage(answer.promptTokens * 1_000, completion * 1_000);
    case "nonsense":
      return { prompt_tokens: -5, completion_tokens: "many", total_tokens: 1e30 };
    case "honest":
      return toUsage(answer.promptTokens, completion);
  }
}

function toUsage(prompt: number, completion: number): Record<string, unknown> {
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: 0 },
    completion_tokens_details: { reasoning_tokens: 0 },
  };
}

/** The unary answer. */
export function toCompletion(answer: Answer, script: Script, choices: number): Record<string, unknown> {
  const message = answer.toolCall
    ? {
        role: "assistant",
        content: null,
        refusal: null,
        tool_calls: [
          {
            id: answer.toolCall.id,
            type: "function",
            function: { name: answer.toolCall.name, arguments: answer.toolCall.arguments.join("") },
          },
        ],
      }
    : { role: "assistant", content: answer.pieces.join(""), refusal: null };
  const usage = composeUsage(answer, script);
  return {
    id: answer.id,
    object: "chat.completion",
    created: answer.created,
    model: answer.model,
    system_fingerprint: FINGERPRINT,
    choices: Array.from({ length: choices }, (_, index) => ({
      index,
      message,
      logprobs: null,
      finish_reason: answer.toolCall ? "tool_calls" : "stop",
    })),
    ...(usage ? { usage } : {}),
  };
}

/** The events of a stream: first the role, then the pieces (each a step that a script may break at), then finish and usage. */
export function toEvents(
  answer: Answer,
  script: Script,
  includeUsage: boolean,
): { opening: unknown[]; pieces: unknown[]; closing: unknown[] } {
  const chunk = (choices: unknown[], usage?: unknown) => ({
    id: answer.id,
    object: "chat.completion.chunk",
    created: answer.created,
    model: answer.model,
    system_fingerprint: FINGERPRINT,
    choices,
    ...(includeUsage ? { usage: usage ?? null } : {}),
  });
  const delta = (content: unknown, finish: string | null = null) =>
    chunk([{ index: 0, delta: content, logprobs: null, finish_reason: finish }]);
  const { toolCall } = answer;
  const usage = includeUsage ? composeUsage(answer, script) : undefined;
  return {
    opening: [
      delta({ role: "assistant", content: toolCall ? null : "", refusal: null }),
      ...(toolCall
        ? [
            delta({
              tool_calls: [
                { index: 0, id: toolCall.id, type: "function", function: { name: toolCall.name, arguments: "" } },
              ],
            }),
          ]
        : []),
    ],
    pieces: toolCall
      ? toolCall.arguments.map((part) => delta({ tool_calls: [{ index: 0, function: { arguments: part } }] }))
      : answer.pieces.map((content) => delta({ content })),
    closing: [delta({}, toolCall ? "tool_calls" : "stop"), ...(usage ? [chunk([], usage)] : [])],
  };
}
