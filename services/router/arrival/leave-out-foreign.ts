import { parseExact } from "../providers/exact-json.ts";
import { mayBeMarked } from "../providers/reasoning-mark.ts";

/** A body that was written anew, and where what is spliced stands in it. */
export interface RewrittenBody {
  readonly bytes: Buffer;
  readonly modelStart: number;
  readonly modelEnd: number;
  /** -1 when it is absent. */
  readonly streamOptionsStart: number;
  readonly streamOptionsEnd: number;
  /** Paths of what is no longer there. */
  readonly leftOut: readonly string[];
}

/**
 * Writes a body that was scanned anew, without reasoning that bears a mark of Weir's: another maker's model made it, and a provider of the body's own
 * format would refuse it. `takeOut` takes it out of the parsed body and tells the paths. Undefined when there is none, which for nearly
 * all bodies a search for the mark tells.
 */
export function leaveOutForeign(
  body: Buffer,
  takeOut: (members: Record<string, unknown>) => string[],
): RewrittenBody | undefined {
  if (!mayBeMarked(body)) return undefined;
  const members = parseExact(body.toString("utf8")) as Record<string, unknown>;
  const leftOut = takeOut(members);
  if (leftOut.length === 0) return undefined;
  const { model, stream_options, ...rest } = members;
  // What is spliced stands first, where its place is known.
  let text = `{"model":`;
  const modelStart = text.length;
  text += JSON.stringify(model);
  const modelEnd = Buffer.byteLength(text);
  const hasOptions = stream_options !== undefined;
  if (hasOptions) text += `,"stream_options":`;
  const optionsStart = Buffer.byteLength(text);
  if (hasOptions) text += JSON.stringify(stream_options);
  const optionsEnd = Buffer.byteLength(text);
  const others = JSON.stringify(rest);
  return {
    bytes: Buffer.from(others === "{}" ? `${text}}` : `${text},${others.slice(1)}`),
    modelStart,
    modelEnd,
    streamOptionsStart: hasOptions ? optionsStart : -1,
    streamOptionsEnd: hasOptions ? optionsEnd : -1,
    leftOut,
  };
}
