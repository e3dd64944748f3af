import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createRandom } from "./results/statistics.ts";

/** What a request asks for, and how the provider is to answer it. */
export interface PromptOptions {
  /** Size of the whole body, in bytes. */
  readonly bytes: number;
  readonly model?: string;
  readonly stream?: boolean;
  /** Parameters for the provider, as `native/` has them: "events=64;gap_us=5000". */
  readonly provider?: string;
}

/** Prompts as the issue has them, from a question to a long document: the name of a size, and its bytes. */
export const PROMPT_SIZES = [
  ["0.4", 400],
  ["4.5", 4_500],
  ["35", 35_000],
  ["216", 216_000],
] as const;

/** The prompt of scenarios that have one only, in bytes. */
export const PROMPT_BYTES = 4_500;

const WORDS =
  "the quick brown fox jumps over lazy dog while router relays tokens for a caller who waits and limits are counted à propos naïve señor 東京".split(
    " ",
  );

/**
 * The body of a chat: a system prompt and turns of at most 2 KB, as applications send them, in text with line breaks, quotes and some
 * letters beyond ASCII. The same options give the same bytes.
 */
export function createPrompt({ bytes, model = "small", stream = false, provider }: PromptOptions): Buffer {
  const random = createRandom(bytes);
  const messages: { role: string; content: string }[] = [{ role: "system", content: "You are a helpful assistant." }];
  const write = () =>
    Buffer.from(
      JSON.stringify({
        model,
        messages,
        temperature: 0.7,
        ...(stream && { stream: true, stream_options: { include_usage: true } }),
        ...(provider !== undefined && { metadata: { bench: provider } }),
      }),
    );
  for (let turn = 0; ; turn++) {
    messages.push({ role: turn % 2 === 0 ? "user" : "assistant", content: "" });
    const room = bytes - write().length;
    const last = messages[messages.length - 1] as { content: string };
    last.content = createText(Math.min(room, 2_000), random);
    // What multi-byte letters and escapes took beyond their place is cut from the text again.
    for (let excess = write().length - bytes; excess > 0 && last.content !== ""; excess = write().length - bytes) {
      last.content = last.content.slice(0, -Math.ceil(excess / 3));
    }
    if (room <= 2_000) return write();
  }
}

function createText(length: number, random: () => number): string {
  let text = "";
  while (text.length < length) {
    const word = WORDS[Math.floor(random() * WORDS.length)] as string;
    const chance = random();
    text += chance < 0.02 ? `"${word}"\n` : chance < 0.1 ? `${word}. ` : `${word} `;
  }
  return text.slice(0, Math.max(0, length));
}

/** Writes a prompt to a file of its own, once for each name in a run, and returns its path. */
export function writePrompt(folder: string, name: string, options: PromptOptions): string {
  mkdirSync(join(folder, "prompts"), { recursive: true });
  const path = join(folder, "prompts", `${name}.json`);
  if (!existsSync(path)) writeFileSync(path, createPrompt(options));
  return path;
}
