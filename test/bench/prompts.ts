import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createRandom } from "./results/statistics.ts";

/** The wire format of a request. */
export type WireFormat = "chat-completions" | "messages" | "responses" | "embeddings";

/** Where requests of a format go, at a gateway and at the provider. */
export const PATHS: Readonly<Record<WireFormat, string>> = {
  "chat-completions": "/v1/chat/completions",
  messages: "/v1/messages",
  responses: "/v1/responses",
  embeddings: "/v1/embeddings",
};

/** What a request asks for, and how the provider is to answer it. */
export interface PromptOptions {
  /** Size of the whole body, in bytes. */
  readonly bytes: number;
  /** Default chat completions. */
  readonly format?: WireFormat;
  /** Default "small". */
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

/** What every format says, in its own words. */
interface Said {
  readonly model: string;
  readonly turns: readonly { readonly role: string; readonly content: string }[];
  readonly stream: boolean;
}

const SYSTEM = "You are a helpful assistant.";
const TEMPERATURE = 0.7;
const MAX_TOKENS = 1_024;

/** How each format says it. */
const COMPOSE: Readonly<Record<WireFormat, (said: Said) => object>> = {
  "chat-completions": ({ model, turns, stream }) => ({
    model,
    messages: [{ role: "system", content: SYSTEM }, ...turns],
    temperature: TEMPERATURE,
    ...(stream && { stream: true, stream_options: { include_usage: true } }),
  }),
  messages: ({ model, turns, stream }) => ({
    model,
    max_tokens: MAX_TOKENS,
    system: SYSTEM,
    messages: turns,
    temperature: TEMPERATURE,
    ...(stream && { stream: true }),
  }),
  responses: ({ model, turns, stream }) => ({
    model,
    instructions: SYSTEM,
    input: turns,
    temperature: TEMPERATURE,
    ...(stream && { stream: true }),
  }),
  embeddings: ({ model, turns }) => ({ model, input: turns.map(({ content }) => content) }),
};

/**
 * The body of a request: a system prompt and turns of at most 2 KB, as applications send them, in text with line breaks, quotes and some
 * letters beyond ASCII; a list of texts to embed has the same ones. The same options give the same bytes.
 */
export function createPrompt(options: PromptOptions): Buffer {
  const { bytes, format = "chat-completions", model = "small", stream = false, provider } = options;
  const random = createRandom(bytes);
  const turns: { role: string; content: string }[] = [];
  const write = () =>
    Buffer.from(
      JSON.stringify({
        ...COMPOSE[format]({ model, turns, stream }),
        ...(provider !== undefined && { metadata: { bench: provider } }),
      }),
    );
  for (let turn = 0; ; turn++) {
    turns.push({ role: turn % 2 === 0 ? "user" : "assistant", content: "" });
    const room = bytes - write().length;
    const last = turns[turns.length - 1] as { content: string };
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
