/**
 * How the scripted provider answers a call. Every field has a default that means "answers well". Times are in milliseconds.
 */
export interface Script {
  /** HTTP status. Anything from 400 on answers with an OpenAI error object. Default 200. */
  readonly status?: number;
  /** Value of the header `retry-after` of an error, in seconds. Default: none. */
  readonly retryAfterSeconds?: number;
  /** Value of `error.code` of an error. Default null. */
  readonly errorCode?: string;
  /** Wait before anything is answered. Default 0. */
  readonly delayMs?: number;
  /** Accepts the request and never answers. */
  readonly silent?: boolean;
  /** Pieces of content of a stream; the unary answer is their sum. Default 4. */
  readonly chunks?: number;
  /** Wait before each piece of content. Default 0. */
  readonly chunkDelayMs?: number;
  /** Ends the connection after this many pieces of content; of a unary answer, in the middle of its body. */
  readonly cutAfterChunks?: number;
  /** Ends the stream cleanly, but without finish, usage and [DONE], after this many pieces. */
  readonly endAfterChunks?: number;
  /** Sends an error event after this many pieces, as OpenAI does when a model fails in mid-stream. */
  readonly errorAfterChunks?: number;
  /** Sends nothing more after this many pieces, until `POST /release` or until the caller leaves. */
  readonly holdAfterChunks?: number;
  /** Sends something that is not JSON: the whole body, or the third event of a stream. */
  readonly malformed?: boolean;
  /** What it says of usage: the truth, nothing, far too much, or numbers that make no sense. Default "honest". */
  readonly usage?: "honest" | "none" | "inflated" | "nonsense";
  /** Answers with a call of the first tool that the request offers, or of `lookup`. */
  readonly tools?: boolean;
}

/**
 * What a model name makes the provider do. A name that is not here is answered well, so any model of a policy can point at it.
 */
export const SCRIPTS: Readonly<Record<string, Script>> = {
  scripted: {},
  "scripted-small": { chunks: 3 },
  "scripted-large": { chunks: 8 },
  "scripted-slow": { delayMs: 2_000 },
  "scripted-slow-stream": { chunks: 40, chunkDelayMs: 100 },
  "scripted-long": { chunks: 400, chunkDelayMs: 5 },
  "scripted-hold": { chunks: 6, holdAfterChunks: 3 },
  "scripted-silent": { silent: true },
  "scripted-stall": { holdAfterChunks: 2 },
  "scripted-cut": { chunks: 6, cutAfterChunks: 3 },
  "scripted-cut-early": { cutAfterChunks: 0 },
  "scripted-end-early": { chunks: 6, endAfterChunks: 3 },
  "scripted-stream-error": { chunks: 6, errorAfterChunks: 3 },
  "scripted-malformed": { malformed: true },
  "scripted-fail": { status: 500 },
  "scripted-overloaded": { status: 503 },
  "scripted-rate-limited": { status: 429, retryAfterSeconds: 7, errorCode: "rate_limit_exceeded" },
  "scripted-quota": { status: 429, errorCode: "insufficient_quota" },
  "scripted-unauthorised": { status: 401, errorCode: "invalid_api_key" },
  "scripted-refused": { status: 400, errorCode: "context_length_exceeded" },
  "scripted-no-usage": { usage: "none" },
  "scripted-inflated": { usage: "inflated" },
  "scripted-nonsense": { usage: "nonsense" },
  "scripted-tools": { tools: true },
};

/** Scripts that a test has set for a model, before those of the table. */
export class ScriptBook {
  readonly #set = new Map<string, Script>();

  /** Finds the script for a model. */
  find(model: string): Script {
    return this.#set.get(model) ?? this.#set.get("*") ?? (Object.hasOwn(SCRIPTS, model) ? SCRIPTS[model]! : {});
  }

  /** Sets the script of a model ("*" for all that have none set), or with `undefined` takes it back. At most 1,000 models. */
  set(model: string, script: Script | undefined): void {
    if (script === undefined) {
      this.#set.delete(model);
    } else if (this.#set.size < 1_000 || this.#set.has(model)) {
      this.#set.set(model, script);
    }
  }
}
