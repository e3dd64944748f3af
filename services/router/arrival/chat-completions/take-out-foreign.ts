import { isMarked } from "../../providers/reasoning-mark.ts";
import { toList, toObject } from "../../providers/shape.ts";

/**
 * Takes reasoning out of a chat completions request that Weir wrote for a model of another format, and marked: a server of this one did not make
 * it, and some refuse members that they do not know. What a server of this format wrote itself stays. Tells the paths.
 */
export function takeOutForeign(body: Record<string, unknown>): string[] {
  return toList(body.messages).flatMap((message, at) => {
    const turn = toObject(message);
    const isForeign = toList(turn.reasoning_details).some((detail) => {
      const { signature, data } = toObject(detail);
      return isMarked(signature) || isMarked(data);
    });
    if (!isForeign) return [];
    delete turn.reasoning_details;
    delete turn.reasoning_content;
    return [`messages[${at}].reasoning_details`];
  });
}
