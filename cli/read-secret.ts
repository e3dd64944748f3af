import { readFileSync } from "node:fs";
import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { toSecret } from "../services/shared/credential/secret.ts";

/**
 * Reads a secret: from a file, else from what is piped in, else from a person, who does not see what he types. Never from the arguments,
 * which everyone on the machine can read. Returns its bytes, to be zeroed; throws when it is empty or can't stand in a header, and
 * repeats nothing of it.
 */
export async function readSecret(file: string | undefined, question: string): Promise<Buffer> {
  const bytes = await readBytes(file, question);
  const secret = toSecret(bytes.toString("utf8"));
  bytes.fill(0);
  if (secret === undefined) {
    throw new Error("Cannot use secret: it is empty, longer than 8192 bytes, or not of printable ASCII without spaces");
  }
  return Buffer.from(secret);
}

async function readBytes(file: string | undefined, question: string): Promise<Buffer> {
  if (file !== undefined && file !== "-") return readFileSync(file);
  if (file === "-" || !process.stdin.isTTY) return await buffer(process.stdin);
  process.stderr.write(question);
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const prompt = createInterface({ input: process.stdin, output: silent, terminal: true });
  try {
    return Buffer.from(await prompt.question(""));
  } finally {
    prompt.close();
    process.stderr.write("\n");
  }
}
