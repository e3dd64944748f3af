import { readFileSync } from "node:fs";
import net from "node:net";

/** An answer as it came over a raw connection. */
export interface RawAnswer {
  /** All that came, headers included; empty when the connection was closed without a word. */
  readonly text: string;
  /** Status of the first answer; 0 when there was none. */
  readonly status: number;
}

/** Longest that a raw connection may stay open without an end, milliseconds: a server has to close it before. */
const PATIENCE_MS = 60_000;

/** Sends bytes that no HTTP client would send, and reads until the server closes. With `end` the client's side closes too. */
export function sendRaw(
  url: string,
  bytes: string | Buffer,
  options: { readonly end?: boolean } = {},
): Promise<RawAnswer> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = net.connect(Number(port), hostname);
    const parts: Buffer[] = [];
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new Error(`Cannot read answer: the connection is still open after ${PATIENCE_MS} ms`));
    }, PATIENCE_MS);
    socket.on("data", (part) => parts.push(part));
    // A server that refuses may close while we still send: what it said before counts.
    socket.on("error", () => undefined);
    socket.on("close", () => {
      clearTimeout(timer);
      const text = Buffer.concat(parts).toString("latin1");
      resolve({ text, status: Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 0) });
    });
    if (options.end) socket.end(bytes);
    else socket.write(bytes);
  });
}

/** Memory of a process that is its own now, bytes (VmRSS of Linux). */
export function readRssBytes(pid: number): number {
  const [, kilobytes = "0"] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Number(kilobytes) * 1024;
}
