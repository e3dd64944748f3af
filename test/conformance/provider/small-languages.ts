import type { Answer } from "./answer.ts";
import { composeOpenAiError } from "./chat-completions.ts";
import { composeGoogleError } from "./generate-content.ts";
import { type Asked, type Json, type Language, objectOf, objectsOf, textOf } from "./language.ts";
import { composeAnthropicError, readTurns } from "./messages.ts";

/** What never streams. */
const ONE_PIECE = {
  streamType: "application/json",
  composeEvents: () => [],
  composeStreamError: () => Buffer.from("{"),
  composeMalformed: () => Buffer.from("{"),
} satisfies Partial<Language>;

/** A vector for a text: the same for the same text, never zero. */
function toVector(text: string): number[] {
  return [Buffer.byteLength(text) / 1024, 0.5, -0.25];
}

function ask(model: string, complaint: string | undefined, texts: readonly string[]): Asked {
  const turns = texts.map((text) => ({ kind: "user" as const, text }));
  return { model, streamed: false, candidates: 1, wantsUsage: false, complaint, turns };
}

/** OpenAI embeddings, Azure's deployments too (https://platform.openai.com/docs/api-reference/embeddings). */
export const embeddings: Language = {
  ...ONE_PIECE,
  readAsked({ path, body }) {
    const model = /\/deployments\/([^/]+)\//.exec(path)?.[1] ?? textOf(body.model);
    const { input } = body;
    const texts = Array.isArray(input) ? input.map((one) => (typeof one === "string" ? one : JSON.stringify(one))) : [];
    const complaint = input === undefined || input === "" ? "'$.input' is invalid" : undefined;
    const asked = ask(model, complaint, typeof input === "string" ? [input] : texts);
    return { ...asked, wantsUsage: body.encoding_format === "base64" };
  },
  composeWhole: (answer, asked) => ({
    object: "list",
    data: asked.turns.map((turn, index) => {
      const vector = toVector("text" in turn ? turn.text : "");
      // Base64 of floats is what the official clients ask for.
      const bytes = Buffer.from(Float32Array.from(vector).buffer);
      return { object: "embedding", index, embedding: asked.wantsUsage ? bytes.toString("base64") : vector };
    }),
    model: answer.model,
    ...(answer.tokens !== undefined && { usage: toPromptUsage(answer) }),
  }),
  composeError: (status, retryAfterS) => composeOpenAiError(status, retryAfterS),
};

function toPromptUsage({ tokens }: Answer): Json {
  const { input, cached } = tokens as NonNullable<Answer["tokens"]>;
  return { prompt_tokens: input + cached, total_tokens: input + cached };
}

/** Gemini embeddings, one and many (https://ai.google.dev/api/embeddings). They say nothing of usage. */
export const embedContent: Language = {
  ...ONE_PIECE,
  readAsked({ path, body }) {
    const [, model = "", method] = /\/models\/(.+):(\w+)$/.exec(path) ?? [];
    const contents = method === "batchEmbedContents" ? objectsOf(body.requests) : [body];
    const texts = contents.map(({ content }) =>
      objectsOf(objectOf(content).parts)
        .map(({ text }) => textOf(text))
        .join(""),
    );
    const asked = ask(model, contents.length === 0 ? "requests is not specified" : undefined, texts);
    return { ...asked, wantsUsage: method === "batchEmbedContents" };
  },
  composeWhole(_, asked) {
    const vectors = asked.turns.map((turn) => ({ values: toVector("text" in turn ? turn.text : "") }));
    return asked.wantsUsage ? { embeddings: vectors } : { embedding: vectors[0] };
  },
  composeError: (status, retryAfterS) => composeGoogleError(status, retryAfterS),
};

/** Anthropic's count of tokens (https://docs.claude.com/en/api/messages-count-tokens). */
export const countTokens: Language = {
  ...ONE_PIECE,
  readAsked({ headers, body }) {
    const complaint = headers["anthropic-version"] === undefined ? "anthropic-version: header is required" : undefined;
    return { ...ask(textOf(body.model), complaint, []), turns: readTurns(body) };
  },
  composeWhole: ({ tokens }) => ({ input_tokens: (tokens?.input ?? 0) + (tokens?.cached ?? 0) }),
  composeError: (status, retryAfterS) => composeAnthropicError(status, retryAfterS),
};
