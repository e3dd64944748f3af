import type { JsonObject } from "@bufbuild/protobuf";
import { type Block, type Candidate, StopReason, type Usage } from "../../../../gen/weir/router/v1/chat_pb.ts";
import type { TypedAnswer } from "../../providers/dialect.ts";
import type { AnswerFacts } from "../caller-format.ts";
import {
  type Ending,
  ItemNames,
  type ItemStatus,
  toCallItem,
  toEnding,
  toImageItem,
  toMessageItem,
  toPart,
  toReasoningItem,
} from "./items.ts";
import { toResponseUsage } from "./usage.ts";

/**
 * Writes a typed answer as a response object (https://platform.openai.com/docs/api-reference/responses/object). The format knows
 * one candidate: the first. What the request said is not told back; those members hold the format's defaults.
 */
export function composeAnswer(answer: TypedAnswer, usage: Usage, facts: AnswerFacts): Buffer {
  const candidate = answer.candidates.find(({ index }) => index === 0);
  const names = new ItemNames(facts.eventId);
  const ending = toEnding(candidate?.stopReason ?? StopReason.END, hasRefusal(candidate));
  const output = candidate === undefined ? [] : toItems(candidate.blocks, names, ending.status);
  return Buffer.from(JSON.stringify(toResponse({ names, facts, output, ending, usage, extras: answer.extras })));
}

/** What a response object says. */
export interface ResponseParts {
  readonly names: ItemNames;
  readonly facts: AnswerFacts;
  readonly output: JsonObject[];
  /** Absent while it is in progress. */
  readonly ending?: Ending;
  readonly usage?: Usage;
  readonly extras?: JsonObject | undefined;
}

/** Makes a response object. */
export function toResponse({ names, facts, output, ending, usage, extras }: ResponseParts): JsonObject {
  return {
    id: names.response,
    object: "response",
    created_at: facts.createdAtS,
    status: ending?.status ?? "in_progress",
    background: false,
    error: null,
    incomplete_details: ending?.details === undefined || ending.details === null ? null : { ...ending.details },
    instructions: null,
    max_output_tokens: null,
    model: facts.model,
    output,
    parallel_tool_calls: true,
    previous_response_id: null,
    reasoning: { effort: null, summary: null },
    ...(typeof extras?.service_tier === "string" && { service_tier: extras.service_tier }),
    store: false,
    temperature: null,
    text: { format: { type: "text" } },
    tool_choice: "auto",
    tools: [],
    top_p: null,
    truncation: "disabled",
    usage: usage === undefined ? null : toResponseUsage(usage),
    user: null,
    metadata: {},
  };
}

function hasRefusal(candidate: Candidate | undefined): boolean {
  return candidate?.blocks.some(({ content }) => content.case === "refusal") ?? false;
}

/** Blocks as items: texts and refusals that follow one another are parts of one message, all others stand by themselves. */
function toItems(blocks: readonly Block[], names: ItemNames, status: ItemStatus): JsonObject[] {
  const items: JsonObject[] = [];
  let parts: JsonObject[] | undefined;
  for (const { content, extras } of blocks) {
    if (content.case === "text" || content.case === "refusal") {
      if (parts === undefined) {
        parts = [];
        items.push(toMessageItem(names.item("msg", items.length), "completed", parts));
      }
      parts.push(toPart(content.case, content.value.text, extras));
      continue;
    }
    parts = undefined;
    if (content.case === "toolUse") {
      const { id, name, inputJson } = content.value;
      const callId = id === "" ? names.call(items.length) : id;
      items.push(toCallItem(names.item("fc", items.length), "completed", { callId, name, inputJson, extras }));
    } else if (content.case === "reasoning") {
      items.push(toReasoningItem(names.item("rs", items.length), { ...content.value, extras }));
    } else if (content.case === "image" && content.value.source.case === "content") {
      items.push(toImageItem(names.item("ig", items.length), content.value.source.value));
    }
  }
  endItems(items, status);
  return items;
}

/** Sets how the answer's items ended: only what came last can have been cut short. */
export function endItems(items: readonly JsonObject[], status: ItemStatus): void {
  const last = items.at(-1);
  if (last?.status !== undefined) last.status = status;
}
