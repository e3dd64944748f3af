import { Refusal } from "./verdict.ts";

/**
 * Cuts a stream of bytes into lines, without their newlines. Each line must end with one, the last line too, and have at most
 * `limitBytes`; otherwise `Refusal`. Holds no more than one line and one chunk, however large the file.
 */
export async function* readLines(
  chunks: AsyncIterable<Uint8Array>,
  name: string,
  limitBytes: number,
): AsyncGenerator<Uint8Array, void, void> {
  let rest: Buffer[] = [];
  let restBytes = 0;
  for await (const chunk of chunks) {
    let bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    for (let end = bytes.indexOf(0x0a); end >= 0; end = bytes.indexOf(0x0a)) {
      if (restBytes + end > limitBytes) throw tooLong(name, limitBytes);
      yield Buffer.concat([...rest, bytes.subarray(0, end)]);
      rest = [];
      restBytes = 0;
      bytes = bytes.subarray(end + 1);
    }
    restBytes += bytes.length;
    if (restBytes > limitBytes) throw tooLong(name, limitBytes);
    if (bytes.length > 0) rest.push(bytes);
  }
  if (restBytes > 0) {
    throw new Refusal("MALFORMED", `Cannot read export: the last line of ${name} has no end; the file was cut`);
  }
}

function tooLong(name: string, limitBytes: number): Refusal {
  return new Refusal("MALFORMED", `Cannot read export: a line of ${name} has more than ${limitBytes} bytes`);
}
