import { Meter, Operation, UsageSource } from "../../../gen/weir/type/v1/usage_pb.ts";
import type { TokenCounter } from "../counting/token-counter.ts";
import type { KeptText, TextMemory } from "../providers/kept-text.ts";
import type { MeasuredUsage } from "./result.ts";
import { IMAGE_TOKENS, keepRequestText } from "./text-of.ts";

/** Bytes of text that count as a token when they can't be counted: the usual length of a token of English. */
const BYTES_PER_TOKEN = 4;

/** With what is counted. */
export interface CountOptions {
  readonly counter: TokenCounter;
  /** Where what is kept of texts counts. */
  readonly memory: TextMemory;
}

/** A call that its provider did not measure. */
export interface UnmeasuredCall {
  readonly operation: Operation;
  /** Bytes of the request's body as the caller sent it: it has no more tokens than that. */
  readonly requestBytes: number;
  /** The request as it was sent; empty when that is not known. */
  readonly body: Buffer;
  /** The answer as far as it came; released here. */
  readonly answer: KeptText;
  /** Bytes of text in it. */
  readonly textBytes: number;
}

/**
 * Counts what an attempt used when its provider did not say; `done` is called exactly once, perhaps before this returns. The texts of the
 * request and of the answer are counted by the tokenizer; where that can't be done in time, a token stands for each four bytes. Never
 * zero after a first token. Of an embedding only what is read is counted: its vectors are no tokens.
 */
export function countUsage(
  options: CountOptions,
  { operation, requestBytes, body, answer, textBytes }: UnmeasuredCall,
  done: (usage: MeasuredUsage) => void,
): void {
  const isEmbedding = operation === Operation.EMBEDDING;
  if (isEmbedding) answer.release();
  const request = keepRequestText(body, options.memory);
  const texts = isEmbedding ? [request.text] : [request.text, answer];
  options.counter.count(texts, (tokens) => {
    for (const text of texts) text.release();
    const quantities = new Map<Meter, number>();
    quantities.set(Meter.INPUT_TOKENS, toInput(request.text, tokens?.[0], request.images, requestBytes));
    if (!isEmbedding) {
      quantities.set(Meter.OUTPUT_TOKENS, Math.max(1, scale(answer, tokens?.[1]) ?? estimateTokens(textBytes)));
    }
    done({ source: UsageSource.COUNTED, quantities });
  });
}

/** Counts the tokens of a request alone; `done` is called exactly once, perhaps before this returns. */
export function countRequest(
  { counter, memory }: CountOptions,
  body: Buffer,
  done: (inputTokens: number) => void,
): void {
  const { text, images } = keepRequestText(body, memory);
  counter.count([text], (tokens) => {
    text.release();
    done(toInput(text, tokens?.[0], images, body.length));
  });
}

/** Tokens of as many bytes of text, when they are not counted. */
export function estimateTokens(bytes: number): number {
  return Math.ceil(bytes / BYTES_PER_TOKEN);
}

function toInput(text: KeptText, counted: number | undefined, images: number, requestBytes: number): number {
  const tokens = scale(text, counted);
  // Where there is no text, such as in a list of tokens, and where nobody counted, the body's bytes stand for it, but not those of images.
  const written = tokens ?? estimateTokens(images > 0 ? text.seenBytes : requestBytes);
  return Math.max(1, Math.min(requestBytes, written + images * IMAGE_TOKENS));
}

/** What was counted of the kept part, for all of the text; undefined when nothing was. */
function scale({ seenBytes, keptBytes }: KeptText, counted: number | undefined): number | undefined {
  if (counted === undefined || keptBytes === 0) return undefined;
  return Math.ceil((counted * seenBytes) / keptBytes);
}
