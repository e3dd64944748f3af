import { type Answer, type AnswerBlock, type AnswerTokens, OPENAI_BEGINNING, readSignature } from "./answer.ts";
import { composeOpenAiError } from "./chat-completions.ts";
import {
  findUnansweredTool,
  hasForeignSignature,
  type Json,
  type Language,
  objectsOf,
  parseInput,
  type StreamEvent,
  type Turn,
  textOf,
  toEvent,
} from "./language.ts";

/**
 * OpenAI Responses (https://platform.openai.com/docs/api-reference/responses and …/responses-streaming): named events with a rising
 * `sequence_number`, one of which is the last.
 */
export const responses: Language = {
  streamType: "text/event-stream; charset=utf-8",
  readAsked({ body }) {
    const turns = readTurns(body);
    const complaint =
      textOf(body.model) === ""
        ? "Missing required parameter: 'model'."
        : body.stream_options !== undefined && objectsOf([body.stream_options])[0]?.include_usage !== undefined
          ? "Unknown parameter: 'stream_options.include_usage'."
          : hasForeignSignature(turns, () => false)
            ? "The encrypted content for item rs_earlier could not be verified."
            : findUnansweredTool(turns);
    return {
      model: textOf(body.model),
      streamed: body.stream === true,
      candidates: 1,
      wantsUsage: true,
      complaint,
      turns,
    };
  },
  composeWhole: (answer) => composeResponse(answer, getEnd(answer), answer.blocks.map(toItem(answer))),
  composeEvents(answer) {
    const events: StreamEvent[] = [];
    let hasContent = false;
    const event = (part: StreamEvent["part"] | "opening", type: string, members: Json) => {
      hasContent ||= part === "content";
      const place = part === "opening" ? (hasContent ? "closing" : "preamble") : part;
      events.push(toEvent(place, { type, sequence_number: events.length, ...members }, type));
    };
    event("preamble", "response.created", { response: composeResponse(answer, "in_progress", []) });
    event("preamble", "response.in_progress", { response: composeResponse(answer, "in_progress", []) });
    const items = answer.blocks.map(toItem(answer));
    answer.blocks.forEach((block, output_index) => {
      const item = items[output_index] as Json;
      streamItem(block, item, output_index, event);
      event("closing", "response.output_item.done", { output_index, item });
    });
    const end = getEnd(answer);
    event("mark", `response.${end}`, { response: composeResponse(answer, end, items) });
    return events;
  },
  composeError: (status, retryAfterS) => composeOpenAiError(status, retryAfterS),
  composeStreamError: () => {
    const members = { code: "server_error", message: "The server had an error", param: null, sequence_number: 99 };
    return toEvent("closing", { type: "error", ...members }, "error").bytes;
  },
  composeMalformed: () => Buffer.from('event: response.output_text.delta\ndata: {"type":"response.output_te\n\n'),
};

type Send = (part: StreamEvent["part"] | "opening", type: string, members: Json) => void;

function streamItem(block: AnswerBlock, item: Json, output_index: number, send: Send): void {
  const place = { item_id: item.id, output_index };
  const text = block.pieces.join("");
  switch (block.kind) {
    case "text":
    case "refusal": {
      const [type, member] = block.kind === "text" ? ["output_text", "text"] : ["refusal", "refusal"];
      const [whole] = item.content as Json[];
      const rest = block.kind === "text" ? { logprobs: [] } : {};
      const part = { ...place, content_index: 0 };
      send("opening", "response.output_item.added", {
        output_index,
        item: { ...item, status: "in_progress", content: [] },
      });
      send("opening", "response.content_part.added", { ...part, part: { ...whole, [member as string]: "" } });
      for (const delta of block.pieces) send("content", `response.${type}.delta`, { ...part, delta, ...rest });
      send("closing", `response.${type}.done`, { ...part, [member as string]: text, ...rest });
      send("closing", "response.content_part.done", { ...part, part: whole });
      return;
    }
    case "tool":
      send("content", "response.output_item.added", {
        output_index,
        item: { ...item, status: "in_progress", arguments: "" },
      });
      for (const delta of block.pieces) send("content", "response.function_call_arguments.delta", { ...place, delta });
      send("closing", "response.function_call_arguments.done", { ...place, name: block.name, arguments: text });
      return;
    case "reasoning": {
      const part = { ...place, summary_index: 0 };
      send("opening", "response.output_item.added", { output_index, item: { ...item, summary: [] } });
      send("opening", "response.reasoning_summary_part.added", { ...part, part: { type: "summary_text", text: "" } });
      for (const delta of block.pieces) send("content", "response.reasoning_summary_text.delta", { ...part, delta });
      send("closing", "response.reasoning_summary_text.done", { ...part, text });
      send("closing", "response.reasoning_summary_part.done", { ...part, part: { type: "summary_text", text } });
    }
  }
}

function toItem(answer: Answer) {
  return (block: AnswerBlock, index: number): Json => {
    const text = block.pieces.join("");
    const status = getEnd(answer) === "incomplete" ? "incomplete" : "completed";
    switch (block.kind) {
      case "text":
      case "refusal": {
        const content =
          block.kind === "text"
            ? { type: "output_text", annotations: [], logprobs: [], text }
            : { type: "refusal", refusal: text };
        return { id: `msg_${answer.id}${index}`, type: "message", status, role: "assistant", content: [content] };
      }
      case "tool": {
        const called = { call_id: `call_${block.id}`, name: block.name, arguments: text };
        return { id: `fc_${answer.id}${index}`, type: "function_call", status, ...called };
      }
      case "reasoning": {
        const summary = [{ type: "summary_text", text }];
        return {
          id: `rs_${answer.id}${index}`,
          type: "reasoning",
          summary,
          encrypted_content: OPENAI_BEGINNING + block.signature,
        };
      }
    }
  };
}

function getEnd({ stop }: Answer): "completed" | "incomplete" {
  return stop === "length" || stop === "filtered" ? "incomplete" : "completed";
}

function composeResponse(answer: Answer, status: string, output: readonly Json[]): Json {
  const reason = answer.stop === "filtered" ? "content_filter" : "max_output_tokens";
  const isOver = status !== "in_progress";
  return {
    id: `resp_${answer.id}`,
    object: "response",
    created_at: answer.createdS,
    status,
    background: false,
    error: null,
    incomplete_details: status === "incomplete" ? { reason } : null,
    instructions: null,
    max_output_tokens: null,
    model: answer.model,
    output,
    parallel_tool_calls: true,
    previous_response_id: null,
    reasoning: { effort: null, summary: null },
    store: true,
    temperature: 1,
    text: { format: { type: "text" } },
    tool_choice: "auto",
    tools: [],
    top_p: 1,
    truncation: "disabled",
    usage: isOver && answer.tokens !== undefined ? toUsage(answer.tokens) : null,
    user: null,
    metadata: {},
  };
}

function toUsage({ input, cached, written, output, reasoning }: AnswerTokens): Json {
  const [read, answered] = [input + cached + written, output + reasoning];
  return {
    input_tokens: read,
    input_tokens_details: { cached_tokens: cached },
    output_tokens: answered,
    output_tokens_details: { reasoning_tokens: reasoning },
    total_tokens: read + answered,
  };
}

function readTurns(body: Json): Turn[] {
  const system = textOf(body.instructions);
  const turns: Turn[] = system === "" ? [] : [{ kind: "system", text: system }];
  const items = typeof body.input === "string" ? [{ role: "user", content: body.input }] : objectsOf(body.input);
  for (const item of items as Json[]) {
    const id = textOf(item.call_id).replace(/^call_/, "");
    if (item.type === "function_call") {
      turns.push({ kind: "tool use", id, name: textOf(item.name), input: parseInput(textOf(item.arguments)) });
    } else if (item.type === "function_call_output") {
      const { output } = item;
      const text =
        typeof output === "string"
          ? output
          : objectsOf(output)
              .map((part) => textOf(part.text))
              .join("");
      turns.push({ kind: "tool result", id, text });
    } else if (item.type === "reasoning") {
      const text = objectsOf(item.summary)
        .map((part) => textOf(part.text))
        .join("");
      turns.push({
        kind: "reasoning",
        text,
        signature: readSignature(textOf(item.encrypted_content), OPENAI_BEGINNING),
      });
    } else {
      turns.push(...readMessage(item));
    }
  }
  return turns;
}

function readMessage({ role, content }: Json): Turn[] {
  const kind = role === "system" || role === "developer" ? "system" : role === "assistant" ? "assistant" : "user";
  if (typeof content === "string") return [{ kind, text: content }];
  return objectsOf(content).flatMap((part): Turn[] => {
    const url = textOf(part.image_url);
    if (url.startsWith("data:")) return [{ kind: "image", base64: url.slice(url.indexOf(",") + 1) }];
    return part.text === undefined ? [] : [{ kind, text: textOf(part.text) }];
  });
}
