import type { BodyAllocator, RelayedRequest } from "../dialect.ts";

const USAGE_OPTION = Buffer.from(',"stream_options":{"include_usage":true}');
const SPACE = 0x20;

/**
 * The body for a target: the caller's bytes with the target's model in place of the one asked for, and for a stream the wish
 * for usage, without which nobody would know what it cost. Everything else, known or not, stays as it came.
 *
 * Where the model fits in the place of the one asked for and nothing else must change, it is written there, with spaces for
 * what it is shorter, and the bytes themselves are returned: of 35 KB the copy alone would take a tenth of a whole request.
 */
export function composeRelayed(request: RelayedRequest, model: string, allocator: BodyAllocator): Buffer {
  const { bytes, streamed, modelStart, modelEnd, streamOptionsStart, streamOptionsEnd } = request;
  const written = writeModel(model);
  const place: Place = { start: modelStart, end: modelEnd };
  if (!streamed || request.wantsUsage) {
    if (written.length <= modelEnd - modelStart) return writeInPlace(bytes, place, written);
    return splice(streamed ? FRESH : allocator, bytes, place, written);
  }
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

interface Place {
  readonly start: number;
  readonly end: number;
}

const FRESH: BodyAllocator = { allocate: (sizeBytes) => Buffer.allocUnsafe(sizeBytes) };

function writeInPlace(bytes: Buffer, { start, end }: Place, written: Buffer): Buffer {
  bytes.set(written, start);
  return bytes.fill(SPACE, start + written.length, end);
}

/** A copy of `bytes` in which others stand in place of some. */
function splice(
  allocator: BodyAllocator,
  bytes: Buffer,
  { start, end }: Place,
  first: Buffer,
  second?: Buffer,
): Buffer {
  const inserted = first.length + (second?.length ?? 0);
  const result = allocator.allocate(bytes.length + inserted - (end - start));
  bytes.copy(result, 0, 0, start);
  result.set(first, start);
  if (second !== undefined) result.set(second, start + first.length);
  bytes.copy(result, start + inserted, end);
  return result;
}

/** Models as JSON, of which a policy has few. */
const writtenModels = new Map<string, Buffer>();
const MOST_MODELS = 10_000;

function writeModel(model: string): Buffer {
  let written = writtenModels.get(model);
  if (written === undefined) {
    // Models come and go with policies.
    if (writtenModels.size >= MOST_MODELS) writtenModels.clear();
    written = Buffer.from(JSON.stringify(model));
    writtenModels.set(model, written);
  }
  return written;
}
