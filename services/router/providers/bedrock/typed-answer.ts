import { create } from "@bufbuild/protobuf";
import { type Block, BlockSchema, CandidateSchema } from "../../../../gen/weir/router/v1/chat_pb.ts";
import type { TypedAnswer } from "../dialect.ts";
import { parseExact } from "../exact-json.ts";
import { toExtras, toList, toObject, toText } from "../shape.ts";
import { toStopReason } from "./stop-reason.ts";

/**
 * Makes typed messages of an answer that was accepted before. Its shape is still the provider's: read tolerant. Converse does not
 * say which model answered. What has no typed form, such as a video, stands as it came in the candidate's extras, as `content`.
 */
export function toTypedAnswer(body: Buffer): TypedAnswer {
  const text = body.toString("utf8");
  const { output, stopReason, usage: _usage, ...extras } = toObject(JSON.parse(text));
  const content = toList(toObject(toObject(output).message).content);
  // Numbers that are rounded in the one are whole in the other.
  const hasInput = content.some((part) => toObject(part).toolUse !== undefined);
  const exact = hasInput ? toList(toObject(toObject(toObject(parseExact(text)).output).message).content) : [];
  const blocks: Block[] = [];
  const strangers: unknown[] = [];
  for (const [at, part] of content.entries()) {
    const block = toBlock(toObject(part), toObject(exact[at]));
    if (block === undefined) strangers.push(part);
    else blocks.push(block);
  }
  const candidate = create(CandidateSchema, {
    index: 0,
    blocks,
    stopReason: toStopReason(toText(stopReason)),
    providerStopReason: toText(stopReason),
    ...toExtras({ content: strangers.length > 0 ? strangers : undefined }),
  });
  return { providerModel: "", candidates: [candidate], ...toExtras(extras) };
}

function toBlock(part: Record<string, unknown>, exact: Record<string, unknown>): Block | undefined {
  const { text, toolUse, reasoningContent, citationsContent, image } = part;
  if (typeof text === "string") return create(BlockSchema, { content: { case: "text", value: { text } } });
  if (toolUse !== undefined) {
    const { toolUseId, name } = toObject(toolUse);
    const { input } = toObject(exact.toolUse);
    const value = { id: toText(toolUseId), name: toText(name), inputJson: JSON.stringify(input ?? {}) };
    return create(BlockSchema, { content: { case: "toolUse", value } });
  }
  if (reasoningContent !== undefined) {
    const { reasoningText, redactedContent } = toObject(reasoningContent);
    const { text: thought, signature } = toObject(reasoningText);
    const value = { text: toText(thought), signature: toText(signature), redacted: toText(redactedContent) };
    return create(BlockSchema, { content: { case: "reasoning", value } });
  }
  if (citationsContent !== undefined) {
    const { content, citations } = toObject(citationsContent);
    const value = {
      text: toList(content)
        .map((piece) => toText(toObject(piece).text))
        .join(""),
    };
    return create(BlockSchema, { content: { case: "text", value }, ...toExtras({ citations }) });
  }
  const { format, source } = toObject(image);
  const { bytes } = toObject(source);
  if (typeof bytes !== "string") return undefined;
  const content = { case: "content" as const, value: Buffer.from(bytes, "base64") };
  return create(BlockSchema, {
    content: { case: "image", value: { source: content, mediaType: `image/${toText(format)}` } },
  });
}
