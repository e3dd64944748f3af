import type { ServerResponse } from "node:http";

/** Pieces up to this size are copied into one buffer with their frame; for larger ones the copy would cost more than it saves. */
const COPIED_BYTES = 4 * 1024;
const CR = 0x0d;
const LF = 0x0a;
const LINE_END = Buffer.from("\r\n");
/** The last chunk, without trailers. */
const END = Buffer.from("0\r\n\r\n");

/**
 * The body of a streamed answer. In HTTP/1.1 it is framed here (chunked coding, RFC 9112, section 7.1) instead of by node:http, which
 * hands each piece to the socket as four. Where there is nothing to frame (HTTP/2, a caller of
 * HTTP/1.0) node has its way. A response that is destroyed lacks its last chunk, so that its reader knows that it was cut.
 */
export class StreamBody {
  readonly #response: ServerResponse;
  readonly #isFramed: boolean;

  /** To be made right after `writeHead`, which decides on the coding. */
  constructor(response: ServerResponse) {
    this.#response = response;
    // Http2ServerResponse knows no coding.
    this.#isFramed = response.chunkedEncoding === true;
    if (this.#isFramed) response.chunkedEncoding = false;
  }

  /** Writes a piece. False when the caller reads slower: wait for `drain`. `onWritten` is called when the socket has it. */
  write(bytes: Buffer, onWritten?: () => void): boolean {
    // An empty chunk would be the end.
    if (!this.#isFramed || bytes.length === 0) return this.#response.write(bytes, onWritten);
    if (bytes.length <= COPIED_BYTES) return this.#response.write(frame(bytes), onWritten);
    this.#response.write(`${bytes.length.toString(16)}\r\n`, "latin1");
    this.#response.write(bytes);
    return this.#response.write(LINE_END, onWritten);
  }

  /** Ends it, after one more piece if there is one. */
  end(last?: Buffer): void {
    if (last !== undefined && last.length > 0) this.write(last);
    if (this.#isFramed) this.#response.end(END);
    else this.#response.end();
  }
}

function frame(bytes: Buffer): Buffer {
  const size = bytes.length.toString(16);
  const start = size.length + 2;
  const framed = Buffer.allocUnsafe(start + bytes.length + 2);
  for (let at = 0; at < size.length; at++) framed[at] = size.charCodeAt(at);
  framed[start - 2] = CR;
  framed[start - 1] = LF;
  bytes.copy(framed, start);
  framed[framed.length - 2] = CR;
  framed[framed.length - 1] = LF;
  return framed;
}
