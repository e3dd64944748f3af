import type { BodyAllocator, RelayedRequest } from "./dialect.ts";

const SPACE = 0x20;

/** Where something stands in a body: from `start` to `end`, exclusive. */
export interface Place {
  readonly start: number;
  readonly end: number;
}

/** Gives each body memory of its own. */
export const FRESH: BodyAllocator = { allocate: (sizeBytes) => Buffer.allocUnsafe(sizeBytes) };

/**
 * The caller's bytes with the target's model in place of the one asked for; everything else, known or not, stays as it came.
 * Where the model fits in the place of the one asked for, it is written there, with spaces for what it is shorter, and the bytes
 * themselves are returned: of 35 KB the copy alone would take a tenth of a whole request.
 */
export function spliceModel(
  request: Pick<RelayedRequest, "bytes" | "streamed" | "modelStart" | "modelEnd">,
  model: string,
  allocator: BodyAllocator,
): Buffer {
  const { bytes, streamed, modelStart, modelEnd } = request;
  const written = writeModel(model);
  const place: Place = { start: modelStart, end: modelEnd };
  if (written.length <= modelEnd - modelStart) return writeInPlace(bytes, place, written);
  return splice(streamed ? FRESH : allocator, bytes, place, written);
}

function writeInPlace(bytes: Buffer, { start, end }: Place, written: Buffer): Buffer {
  bytes.set(written, start);
  return bytes.fill(SPACE, start + written.length, end);
}

/** A copy of `bytes` in which others stand in place of some. */
export function splice(
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

/** A model as JSON. */
export function writeModel(model: string): Buffer {
  let written = writtenModels.get(model);
  if (written === undefined) {
    // Models come and go with policies.
    if (writtenModels.size >= MOST_MODELS) writtenModels.clear();
    written = Buffer.from(JSON.stringify(model));
    writtenModels.set(model, written);
  }
  return written;
}
