import type { RelayedRequest } from "../dialect.ts";

const USAGE_OPTION = Buffer.from(',"stream_options":{"include_usage":true}');

/**
 * The body for a target: the caller's bytes with the target's model in place of the one asked for, and for a stream the wish
 * for usage, without which nobody would know what it cost. Everything else, known or not, stays as it came.
 */
export function composeRelayed(request: RelayedRequest, model: string): Buffer {
  const { bytes, modelStart, modelEnd, streamOptionsStart, streamOptionsEnd } = request;
  const splices: Splice[] = [{ start: modelStart, end: modelEnd, bytes: Buffer.from(JSON.stringify(model)) }];
  if (request.streamed) {
    if (streamOptionsStart < 0) {
      // Right after the model's value a further member is always well placed.
      splices.push({ start: modelEnd, end: modelEnd, bytes: USAGE_OPTION });
    } else if (!request.wantsUsage) {
      const given = JSON.parse(bytes.toString("utf8", streamOptionsStart, streamOptionsEnd)) as object | null;
      const wanted = Buffer.from(JSON.stringify({ ...given, include_usage: true }));
      splices.push({ start: streamOptionsStart, end: streamOptionsEnd, bytes: wanted });
    }
  }
  return splice(bytes, splices);
}

interface Splice {
  readonly start: number;
  readonly end: number;
  readonly bytes: Buffer;
}

function splice(bytes: Buffer, splices: Splice[]): Buffer {
  if (splices.length > 1 && splices[1]!.start < splices[0]!.start) splices.reverse();
  let size = bytes.length;
  for (const { start, end, bytes: inserted } of splices) size += inserted.length - (end - start);
  const result = Buffer.allocUnsafe(size);
  let from = 0;
  let to = 0;
  for (const { start, end, bytes: inserted } of splices) {
    to += bytes.copy(result, to, from, start);
    to += inserted.copy(result, to);
    from = end;
  }
  bytes.copy(result, to, from);
  return result;
}
