import { isMarked } from "../../providers/reasoning-mark.ts";
import { toList, toObject } from "../../providers/shape.ts";

/**
 * Takes items of reasoning out of a request for a response that another maker's model made, and Weir marked: OpenAI refuses encrypted
 * content that is not its own (`invalid_encrypted_content`). Tells the paths.
 */
export function takeOutForeign(body: Record<string, unknown>): string[] {
  if (!Array.isArray(body.input)) return [];
  const leftOut: string[] = [];
  body.input = toList(body.input).filter((item, at) => {
    const { type, encrypted_content } = toObject(item);
    const isForeign = type === "reasoning" && isMarked(encrypted_content);
    if (isForeign) leftOut.push(`input[${at}]`);
    return !isForeign;
  });
  return leftOut;
}
