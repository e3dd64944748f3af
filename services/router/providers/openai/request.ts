import type { BodyAllocator, RelayedRequest } from "../dialect.ts";
import { FRESH, type Place, splice, spliceModel, writeModel } from "../splice.ts";
import type { Capabilities } from "./capabilities.ts";
import { renameOutputCap } from "./output-cap.ts";

const USAGE_OPTION = Buffer.from(',"stream_options":{"include_usage":true}');

/**
 * The body for a target: the caller's bytes with the target's model in place of the one asked for, and for a stream the wish
 * for usage, without which nobody would know what it cost. Everything else, known or not, stays as it came.
 *
 * For a server that takes no `stream_options` none are spliced in; for one that calls the cap on an answer's tokens by its older
 * name, the newer one is written as that.
 */
export function composeRelayed(
  request: RelayedRequest,
  model: string,
  allocator: BodyAllocator,
  { takesStreamOptions, outputCap }: Pick<Capabilities, "takesStreamOptions" | "outputCap">,
): Buffer {
  const { streamed, modelStart, modelEnd, streamOptionsStart, streamOptionsEnd } = request;
  const bytes = outputCap === "max_tokens" ? renameOutputCap(request.bytes) : request.bytes;
  if (!streamed || request.wantsUsage || !takesStreamOptions) {
    const asked = bytes === request.bytes ? request : { bytes, streamed, modelStart, modelEnd };
    return spliceModel(asked, model, allocator);
  }
  const written = writeModel(model);
  const place: Place = { start: modelStart, end: modelEnd };
  // Right after the model's value a further member is always well placed.
  if (streamOptionsStart < 0) return splice(FRESH, bytes, place, written, USAGE_OPTION);
  const given = JSON.parse(bytes.toString("utf8", streamOptionsStart, streamOptionsEnd)) as object | null;
  const wanted = Buffer.from(JSON.stringify({ ...given, include_usage: true }));
  const options: Place = { start: streamOptionsStart, end: streamOptionsEnd };
  // The later one first, so that the place of the earlier one stays.
  return modelStart < streamOptionsStart
    ? splice(FRESH, splice(FRESH, bytes, options, wanted), place, written)
    : splice(FRESH, splice(FRESH, bytes, place, written), options, wanted);
}
