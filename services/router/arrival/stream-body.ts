import type { ServerResponse } from "node:http";
import type { Writable } from "node:stream";

/** Pieces up to this size are copied into one buffer with their frame; for larger ones the copy would cost more than it saves. */
const COPIED_BYTES = 4 * 1024;
const CR = 0x0d;
const LF = 0x0a;
const LINE_END = Buffer.from("\r\n");
/** The last chunk, without trailers. */
const END = Buffer.from("0\r\n\r\n");

/**
 * The body of a streamed answer. In HTTP/1.1 it is framed here (chunked coding, RFC 9112, section 7.1) instead of by node:http, which
 * hands each piece to the socket as four; and once the head is with the socket, framed pieces go to the socket itself, since node:http
 * would cork it for each of them until the end of the tick. Where there is nothing to frame (HTTP/2, a caller of
 * HTTP/1.0) node has its way. A response that is destroyed lacks its last chunk, so that its reader knows that it was cut.
 */
export class StreamBody {
  readonly #response: ServerResponse;
  readonly #isFramed: boolean;
  /** The head goes with the first piece. */
  #hasSentHead = false;

  /** To be made right after `writeHead`, which decides on the coding. */
  constructor(response: ServerResponse) {
    this.#response = response;
    // Http2ServerResponse knows no coding.
    this.#isFramed = response.chunkedEncoding === true;
    if (this.#isFramed) response.chunkedEncoding = false;
  }

  /** Writes a piece. False when the caller reads slower: wait with `onceDrained`. `onWritten` is called when the socket has it. */
  write(bytes: Buffer, onWritten?: () => void): boolean {
    const body = this.#body;
    this.#hasSentHead = true;
    // An empty chunk would be the end.
    if (!this.#isFramed || bytes.length === 0) return body.write(bytes, onWritten);
    if (bytes.length <= COPIED_BYTES) return body.write(frame(bytes), onWritten);
    // Together, as one write of the kernel.
    body.cork();
    body.write(`${bytes.length.toString(16)}\r\n`, "latin1");
    body.write(bytes);
    const hasRoom = body.write(LINE_END, onWritten);
    body.uncork();
    return hasRoom;
  }

  /** Calls `listener` once the caller has caught up. */
  onceDrained(listener: () => void): void {
    this.#body.once("drain", listener);
  }

  /** Ends it, after one more piece if there is one. */
  end(last?: Buffer): void {
    if (last !== undefined && last.length > 0) this.write(last);
    if (this.#isFramed) this.#response.end(END);
    else this.#response.end();
  }

  /** What takes the next piece. A response has no socket while an earlier one of its connection goes on, nor once that is gone. */
  get #body(): Writable {
    const response = this.#response;
    return this.#isFramed && this.#hasSentHead ? (response.socket ?? response) : response;
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
