import type { AnswerBlock, AnswerTokens } from "./answer.ts";
import {
  type AskedRequest,
  type ErrorAnswer,
  findUnansweredTool,
  hasForeignSignature,
  type Json,
  type Language,
  objectsOf,
  type StreamEvent,
  type Turn,
  textOf,
  toEvent,
} from "./language.ts";

const STOP = {
  end: "end_turn",
  length: "max_tokens",
  tool: "tool_use",
  filtered: "refusal",
  refusal: "refusal",
};

/** Types of errors by status (https://docs.claude.com/en/api/errors). */
const ERROR_TYPES: Readonly<Record<number, string>> = {
  400: "invalid_request_error",
  401: "authentication_error",
  403: "permission_error",
  404: "not_found_error",
  413: "request_too_large",
  429: "rate_limit_error",
  504: "timeout_error",
  529: "overloaded_error",
};

/** Anthropic Messages (https://docs.claude.com/en/api/messages, https://docs.claude.com/en/docs/build-with-claude/streaming). */
export const messages: Language = {
  streamType: "text/event-stream; charset=utf-8",
  readAsked(request) {
    const { body } = request;
    const turns = readTurns(body);
    return {
      model: textOf(body.model),
      streamed: body.stream === true,
      candidates: 1,
      wantsUsage: true,
      complaint: findComplaint(request, turns),
      turns,
    };
  },
  composeWhole: (answer) => ({
    id: `msg_${answer.id}`,
    type: "message",
    role: "assistant",
    model: answer.model,
    content: answer.blocks.map(composeBlock),
    stop_reason: STOP[answer.stop],
    stop_sequence: null,
    ...(answer.tokens !== undefined && { usage: toUsage(answer.tokens) }),
  }),
  composeEvents(answer) {
    const events: StreamEvent[] = [];
    let hasContent = false;
    const event = (part: StreamEvent["part"], type: string, members: Json) => {
      hasContent ||= part === "content";
      events.push(toEvent(part, { type, ...members }, type));
    };
    const usage = answer.tokens === undefined ? undefined : toUsage(answer.tokens);
    event("preamble", "message_start", {
      message: {
        id: `msg_${answer.id}`,
        type: "message",
        role: "assistant",
        model: answer.model,
        content: [],
        stop_reason: null,
        stop_sequence: null,
        ...(usage !== undefined && { usage: { ...usage, output_tokens: 1 } }),
      },
    });
    answer.blocks.forEach((block, index) => {
      const isTool = block.kind === "tool";
      const between = hasContent ? "closing" : "preamble";
      event(isTool ? "content" : between, "content_block_start", { index, content_block: openBlock(block) });
      if (index === 0) event(isTool ? "closing" : "preamble", "ping", {});
      for (const delta of listDeltas(block)) event("content", "content_block_delta", { index, delta });
      event("closing", "content_block_stop", { index });
    });
    event("closing", "message_delta", {
      delta: { stop_reason: STOP[answer.stop], stop_sequence: null },
      ...(usage !== undefined && { usage }),
    });
    event("mark", "message_stop", {});
    return events;
  },
  composeError: (status, retryAfterS) => composeAnthropicError(status, retryAfterS),
  composeStreamError: () =>
    toEvent(
      "closing",
      { type: "error", error: { type: "overloaded_error", message: "Overloaded" }, request_id: "req_provider" },
      "error",
    ).bytes,
  composeMalformed: () => Buffer.from('event: content_block_delta\ndata: {"type":"content_block_delta","ind\n\n'),
};

/** An error as Anthropic writes it. */
export function composeAnthropicError(status: number, retryAfterS: number | undefined): ErrorAnswer {
  const type = ERROR_TYPES[status] ?? (status >= 500 ? "api_error" : "invalid_request_error");
  const error = { type, message: `A scripted failure with ${status}` };
  return {
    headers: { "request-id": "req_provider", ...(retryAfterS !== undefined && { "retry-after": `${retryAfterS}` }) },
    body: JSON.stringify({ type: "error", error, request_id: "req_provider" }),
  };
}

/** A refusal is said as text in this dialect; the stop reason tells it. */
function composeBlock(block: AnswerBlock): Json {
  const text = block.pieces.join("");
  switch (block.kind) {
    case "text":
    case "refusal":
      return { type: "text", text };
    case "reasoning":
      return { type: "thinking", thinking: text, signature: block.signature };
    case "tool":
      return { type: "tool_use", id: `toolu_${block.id}`, name: block.name, input: JSON.parse(text) };
  }
}

function openBlock(block: AnswerBlock): Json {
  switch (block.kind) {
    case "text":
    case "refusal":
      return { type: "text", text: "" };
    case "reasoning":
      return { type: "thinking", thinking: "", signature: "" };
    case "tool":
      return { type: "tool_use", id: `toolu_${block.id}`, name: block.name, input: {} };
  }
}

function listDeltas(block: AnswerBlock): Json[] {
  switch (block.kind) {
    case "text":
    case "refusal":
      return block.pieces.map((text) => ({ type: "text_delta", text }));
    case "reasoning":
      return [
        ...block.pieces.map((thinking) => ({ type: "thinking_delta", thinking })),
        { type: "signature_delta", signature: block.signature },
      ];
    case "tool":
      return ["", ...block.pieces].map((json) => ({ type: "input_json_delta", partial_json: json }));
  }
}

/** Cached tokens stand beside those of the input, those of reasoning are among those of the output. */
function toUsage({ input, cached, written, output, reasoning }: AnswerTokens): Json {
  return {
    input_tokens: input,
    cache_creation_input_tokens: written,
    cache_read_input_tokens: cached,
    output_tokens: output + reasoning,
    service_tier: "standard",
  };
}

/** What a request of messages or of count_tokens says. */
export function readTurns(body: Json): Turn[] {
  const system = typeof body.system === "string" ? [{ type: "text", text: body.system }] : objectsOf(body.system);
  return [
    ...system.map((block): Turn => ({ kind: "system", text: textOf(block.text) })),
    ...objectsOf(body.messages).flatMap(({ role, content }) => {
      const kind = role === "assistant" ? "assistant" : "user";
      if (typeof content === "string") return [{ kind, text: content } satisfies Turn];
      return objectsOf(content).flatMap((block) => readBlock(kind, block));
    }),
  ];
}

function readBlock(kind: "user" | "assistant", block: Json): Turn[] {
  switch (block.type) {
    case "text":
      return [{ kind, text: textOf(block.text) }];
    case "image": {
      const { data } = (block.source ?? {}) as { data?: unknown };
      return [{ kind: "image", base64: textOf(data) }];
    }
    case "tool_use":
      return [
        { kind: "tool use", id: textOf(block.id).replace(/^toolu_/, ""), name: textOf(block.name), input: block.input },
      ];
    case "tool_result": {
      const { content } = block;
      const text =
        typeof content === "string"
          ? content
          : objectsOf(content)
              .map(({ text }) => textOf(text))
              .join("");
      return [{ kind: "tool result", id: textOf(block.tool_use_id).replace(/^toolu_/, ""), text }];
    }
    case "thinking":
      return [{ kind: "reasoning", text: textOf(block.thinking), signature: textOf(block.signature) }];
    default:
      return [];
  }
}

function findComplaint({ headers, body, path }: AskedRequest, turns: readonly Turn[]): string | undefined {
  if (headers["anthropic-version"] === undefined) return "anthropic-version: header is required";
  if (textOf(body.model) === "") return "model: Field required";
  if (!path.endsWith("/count_tokens") && !Number.isInteger(body.max_tokens)) return "max_tokens: Field required";
  const spoken = objectsOf(body.messages);
  if (spoken.length === 0) return "messages: at least one message is required";
  if (spoken.some(({ role }) => role !== "user" && role !== "assistant")) return "messages: Unexpected role";
  if (body.stream_options !== undefined) return "stream_options: Extra inputs are not permitted";
  if (hasForeignSignature(turns, () => false)) return "messages.1.content.0: Invalid `signature` in `thinking` block";
  return findUnansweredTool(turns);
}
