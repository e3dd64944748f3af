import type { AnswerBlock, AnswerTokens } from "./answer.ts";
import { toEventFrame } from "./event-frame.ts";
import {
  type AskedRequest,
  findUnansweredTool,
  hasForeignSignature,
  type Json,
  type Language,
  objectOf,
  objectsOf,
  type StreamEvent,
  type Turn,
  textOf,
} from "./language.ts";

const STOP = {
  end: "end_turn",
  length: "max_tokens",
  tool: "tool_use",
  filtered: "content_filtered",
  refusal: "guardrail_intervened",
};

/** Members of a request (https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html). */
const MEMBERS = [
  "additionalModelRequestFields",
  "additionalModelResponseFieldPaths",
  "guardrailConfig",
  "inferenceConfig",
  "messages",
  "outputConfig",
  "performanceConfig",
  "promptVariables",
  "requestMetadata",
  "serviceTier",
  "system",
  "toolConfig",
];

const EXCEPTIONS: Readonly<Record<number, string>> = {
  400: "ValidationException",
  401: "UnrecognizedClientException",
  403: "AccessDeniedException",
  404: "ResourceNotFoundException",
  408: "ModelTimeoutException",
  424: "ModelErrorException",
  429: "ThrottlingException",
  500: "InternalServerException",
  503: "ServiceUnavailableException",
};

/** Bedrock Converse and ConverseStream (https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html). */
export const converse: Language = {
  streamType: "application/vnd.amazon.eventstream",
  readAsked(request) {
    const [, model = "", method = ""] = /\/model\/(.+)\/(converse|converse-stream)$/.exec(request.path) ?? [];
    const turns = readTurns(request.body);
    return {
      model,
      streamed: method === "converse-stream",
      candidates: 1,
      wantsUsage: true,
      complaint: findComplaint(request, turns),
      turns,
    };
  },
  composeWhole: (answer) => ({
    metrics: { latencyMs: 42 },
    output: { message: { content: answer.blocks.map(composeBlock), role: "assistant" } },
    stopReason: STOP[answer.stop],
    ...(answer.tokens !== undefined && { usage: toUsage(answer.tokens) }),
  }),
  composeEvents(answer) {
    const events: StreamEvent[] = [];
    const event = (part: StreamEvent["part"], type: string, members: Json) => {
      const headers = { ":event-type": type, ":content-type": "application/json", ":message-type": "event" };
      // Each payload is padded, so that its length says nothing of its content.
      events.push({ part, bytes: toEventFrame(headers, Buffer.from(JSON.stringify({ ...members, p: "abcdefgh" }))) });
    };
    event("preamble", "messageStart", { role: "assistant" });
    answer.blocks.forEach((block, index) => {
      const place = { contentBlockIndex: index };
      if (block.kind === "tool") {
        const start = { toolUse: { toolUseId: `tooluse_${block.id}`, name: block.name } };
        event("content", "contentBlockStart", { ...place, start });
      }
      for (const delta of listDeltas(block)) event("content", "contentBlockDelta", { ...place, delta });
      event("closing", "contentBlockStop", place);
    });
    event("closing", "messageStop", { stopReason: STOP[answer.stop] });
    event("mark", "metadata", {
      metrics: { latencyMs: 42 },
      ...(answer.tokens !== undefined && { usage: toUsage(answer.tokens) }),
    });
    return events;
  },
  composeError(status, retryAfterS) {
    const type = EXCEPTIONS[status] ?? (status >= 500 ? "InternalServerException" : "ValidationException");
    return {
      headers: {
        "x-amzn-requestid": "00000000-0000-4000-8000-000000000000",
        "x-amzn-errortype": `${type}:http://internal.amazon.com/coral/com.amazon.bedrock/`,
        ...(retryAfterS !== undefined && { "retry-after": `${retryAfterS}` }),
      },
      body: JSON.stringify({ message: `A scripted failure with ${status}` }),
    };
  },
  composeStreamError: () =>
    toEventFrame(
      {
        ":exception-type": "throttlingException",
        ":content-type": "application/json",
        ":message-type": "exception",
      },
      Buffer.from(JSON.stringify({ message: "Too many tokens, please wait before trying again." })),
    ),
  composeMalformed() {
    const frame = toEventFrame({ ":event-type": "contentBlockDelta", ":message-type": "event" }, Buffer.from("{}"));
    frame.writeUInt32BE(0, frame.length - 4);
    return frame;
  },
};

function composeBlock(block: AnswerBlock): Json {
  const text = block.pieces.join("");
  switch (block.kind) {
    case "text":
    case "refusal":
      return { text };
    case "reasoning":
      return { reasoningContent: { reasoningText: { text, signature: block.signature } } };
    case "tool":
      return { toolUse: { input: JSON.parse(text), name: block.name, toolUseId: `tooluse_${block.id}` } };
  }
}

function listDeltas(block: AnswerBlock): Json[] {
  switch (block.kind) {
    case "text":
    case "refusal":
      return block.pieces.map((text) => ({ text }));
    case "reasoning":
      return [
        ...block.pieces.map((text) => ({ reasoningContent: { text } })),
        { reasoningContent: { signature: block.signature } },
      ];
    case "tool":
      return block.pieces.map((input) => ({ toolUse: { input } }));
  }
}

/** Cached tokens stand beside those of the input, those of reasoning are among those of the output. */
function toUsage({ input, cached, written, output, reasoning }: AnswerTokens): Json {
  return {
    inputTokens: input,
    outputTokens: output + reasoning,
    totalTokens: input + cached + written + output + reasoning,
    cacheReadInputTokens: cached,
    cacheWriteInputTokens: written,
  };
}

function readTurns(body: Json): Turn[] {
  return [
    ...objectsOf(body.system).flatMap(({ text }): Turn[] =>
      text === undefined ? [] : [{ kind: "system", text: textOf(text) }],
    ),
    ...objectsOf(body.messages).flatMap(({ role, content }) =>
      objectsOf(content).flatMap((block) => readBlock(role === "assistant" ? "assistant" : "user", block)),
    ),
  ];
}

function readBlock(kind: "user" | "assistant", block: Json): Turn[] {
  if (block.text !== undefined) return [{ kind, text: textOf(block.text) }];
  if (block.image !== undefined) {
    return [{ kind: "image", base64: textOf(objectOf(objectOf(block.image).source).bytes) }];
  }
  if (block.toolUse !== undefined) {
    const { toolUseId, name, input } = objectOf(block.toolUse);
    return [{ kind: "tool use", id: textOf(toolUseId).replace(/^tooluse_/, ""), name: textOf(name), input }];
  }
  if (block.toolResult !== undefined) {
    const { toolUseId, content } = objectOf(block.toolResult);
    const text = objectsOf(content)
      .map(({ text: said, json }) => (json === undefined ? textOf(said) : JSON.stringify(json)))
      .join("");
    return [{ kind: "tool result", id: textOf(toolUseId).replace(/^tooluse_/, ""), text }];
  }
  if (block.reasoningContent !== undefined) {
    const { text, signature } = objectOf(objectOf(block.reasoningContent).reasoningText);
    return [{ kind: "reasoning", text: textOf(text), signature: textOf(signature) }];
  }
  return [];
}

function findComplaint({ body }: AskedRequest, turns: readonly Turn[]): string | undefined {
  const unknown = Object.keys(body).find((name) => !MEMBERS.includes(name));
  if (unknown !== undefined) return `Unexpected field type: "${unknown}"`;
  const spoken = objectsOf(body.messages);
  if (spoken.length === 0 || spoken[0]?.role !== "user") return "A conversation must start with a user message";
  if (spoken.some(({ role }, at) => at > 0 && role === spoken[at - 1]?.role)) {
    return "A conversation must alternate between user and assistant roles";
  }
  if (spoken.some(({ content }) => !Array.isArray(content) || content.length === 0)) {
    return "The content field in the Message object is empty";
  }
  if (hasForeignSignature(turns, () => false)) return "messages.1.content.0: Invalid `signature` in `thinking` block";
  return findUnansweredTool(turns);
}
