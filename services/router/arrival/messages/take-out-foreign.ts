import { isMarked } from "../../providers/reasoning-mark.ts";
import { toList, toObject } from "../../providers/shape.ts";

/**
 * Takes thinking out of a request for messages that another maker's model made, and Weir marked: Anthropic refuses what it did not sign
 * (https://platform.claude.com/docs/en/build-with-claude/thinking). A turn of nothing else goes with it. Tells the paths.
 */
export function takeOutForeign(body: Record<string, unknown>): string[] {
  const leftOut: string[] = [];
  body.messages = toList(body.messages).filter((message, at) => {
    const turn = toObject(message);
    const { content } = turn;
    if (!Array.isArray(content)) return true;
    const kept = content.filter((block: unknown, place) => {
      const { type, signature, data } = toObject(block);
      const isForeign =
        (type === "thinking" && isMarked(signature)) || (type === "redacted_thinking" && isMarked(data));
      if (isForeign) leftOut.push(`messages[${at}].content[${place}]`);
      return !isForeign;
    });
    const isChanged = kept.length < content.length;
    if (isChanged) turn.content = kept;
    return !isChanged || kept.length > 0;
  });
  return leftOut;
}
