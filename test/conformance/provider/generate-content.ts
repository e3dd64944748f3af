import { type Answer, type AnswerBlock, type AnswerTokens, GOOGLE_BEGINNING, readSignature } from "./answer.ts";
import {
  type AskedRequest,
  type ErrorAnswer,
  hasForeignSignature,
  type Json,
  type Language,
  objectOf,
  objectsOf,
  type StreamEvent,
  type Turn,
  textOf,
} from "./language.ts";

const FINISH = { end: "STOP", tool: "STOP", length: "MAX_TOKENS", filtered: "SAFETY", refusal: "PROHIBITED_CONTENT" };

/** Members of a request (https://ai.google.dev/api/generate-content#request-body). Any other is answered with 400. */
const MEMBERS = [
  "contents",
  "tools",
  "toolConfig",
  "safetySettings",
  "systemInstruction",
  "system_instruction",
  "generationConfig",
  "cachedContent",
  "labels",
  "store",
  "serviceTier",
];

const STATUSES: Readonly<Record<number, string>> = {
  400: "INVALID_ARGUMENT",
  401: "UNAUTHENTICATED",
  403: "PERMISSION_DENIED",
  404: "NOT_FOUND",
  429: "RESOURCE_EXHAUSTED",
  500: "INTERNAL",
  503: "UNAVAILABLE",
  504: "DEADLINE_EXCEEDED",
};

/** Gemini generateContent (https://ai.google.dev/api/generate-content). Its events end in CRLF, and nothing marks the end of a stream. */
export const generateContent: Language = {
  streamType: "text/event-stream",
  readAsked(request) {
    const { path, body } = request;
    const [, model = "", method = ""] = /\/models\/(.+):(\w+)$/.exec(path) ?? [];
    const turns = readTurns(body);
    const wanted = objectOf(body.generationConfig).candidateCount;
    return {
      model,
      streamed: method === "streamGenerateContent",
      candidates: typeof wanted === "number" ? wanted : 1,
      wantsUsage: true,
      complaint: findComplaint(request, turns),
      turns,
    };
  },
  composeWhole: (answer) => ({
    candidates: listCandidates(answer).map((index) => ({
      content: { parts: sign(answer, answer.blocks.flatMap(composeParts)), role: "model" },
      finishReason: FINISH[answer.stop],
      index,
    })),
    ...composeRest(answer, answer.tokens),
  }),
  composeEvents(answer) {
    const events: StreamEvent[] = [];
    for (const index of listCandidates(answer)) {
      const send = (part: StreamEvent["part"], content: Json, more: Json = {}) => {
        const candidate = { content: { parts: [content], role: "model" }, ...more, index };
        // The usage rises with each event; the last one counts.
        const tokens = answer.tokens && { ...answer.tokens, output: part === "mark" ? answer.tokens.output : 1 };
        events.push(toCrlfEvent(part, { candidates: [candidate], ...composeRest(answer, tokens) }));
      };
      const parts = sign(answer, [...answer.blocks.flatMap(streamParts), { text: "" }]);
      const last = parts.pop() as Json;
      for (const part of parts) send("content", part);
      send(index === answer.candidates - 1 ? "mark" : "closing", last, { finishReason: FINISH[answer.stop] });
    }
    return events;
  },
  composeError: (status, retryAfterS) => composeGoogleError(status, retryAfterS),
  composeStreamError: () =>
    toCrlfEvent("closing", {
      error: { code: 503, message: "The model is overloaded. Please try again later.", status: "UNAVAILABLE" },
    }).bytes,
  composeMalformed: () => Buffer.from('data: {"candidates": [{"content": {"parts": [{"te\r\n\r\n'),
};

/** An error as Google writes it; the wait is a detail, no header (https://cloud.google.com/apis/design/errors). */
export function composeGoogleError(status: number, retryAfterS: number | undefined): ErrorAnswer {
  const details =
    retryAfterS === undefined
      ? []
      : [{ "@type": "type.googleapis.com/google.rpc.RetryInfo", retryDelay: `${retryAfterS}s` }];
  const error = { code: status, message: `A scripted failure with ${status}`, status: STATUSES[status] ?? "UNKNOWN" };
  return { headers: {}, body: JSON.stringify({ error: { ...error, ...(details.length > 0 && { details }) } }) };
}

function toCrlfEvent(part: StreamEvent["part"], data: Json): StreamEvent {
  return { part, bytes: Buffer.from(`data: ${JSON.stringify(data)}\r\n\r\n`) };
}

function listCandidates({ candidates }: Answer): number[] {
  return Array.from({ length: candidates }, (_, index) => index);
}

/** What is thought is a part of its own, and calls of functions come whole, also in streams. */
function composeParts(block: AnswerBlock): Json[] {
  const text = block.pieces.join("");
  switch (block.kind) {
    case "text":
      return [{ text }];
    case "refusal":
      return [];
    case "reasoning":
      return [{ text, thought: true }];
    case "tool":
      return [{ functionCall: { id: block.id, name: block.name, args: JSON.parse(text) } }];
  }
}

function streamParts(block: AnswerBlock): Json[] {
  if (block.kind === "tool" || block.kind === "refusal") return composeParts(block);
  return block.pieces.flatMap((piece) => composeParts({ ...block, pieces: [piece] }));
}

/** Puts the signature where Gemini does: on the first call of a function, else on the last part (https://ai.google.dev/gemini-api/docs/thought-signatures). */
function sign({ blocks }: Answer, parts: Json[]): Json[] {
  const signed = blocks.find((block) => block.kind === "reasoning");
  if (signed === undefined) return parts;
  const signature = GOOGLE_BEGINNING + signed.signature;
  const call = parts.findIndex(({ functionCall }) => functionCall !== undefined);
  const at = call < 0 ? parts.length - 1 : call;
  return parts.map((part, index) => (index === at ? { ...part, thoughtSignature: signature } : part));
}

function composeRest(answer: Answer, tokens: AnswerTokens | undefined): Json {
  return {
    ...(tokens !== undefined && { usageMetadata: toUsage(tokens) }),
    modelVersion: answer.model,
    responseId: answer.id,
  };
}

/** Cached tokens are among those of the prompt, those of thoughts stand beside the candidates'. */
function toUsage({ input, cached, written, output, reasoning }: AnswerTokens): Json {
  const prompt = input + cached + written;
  return {
    promptTokenCount: prompt,
    candidatesTokenCount: output,
    totalTokenCount: prompt + output + reasoning,
    ...(cached > 0 && { cachedContentTokenCount: cached }),
    ...(reasoning > 0 && { thoughtsTokenCount: reasoning }),
  };
}

function readTurns(body: Json): Turn[] {
  const system = objectOf(body.systemInstruction ?? body.system_instruction);
  const turns: Turn[] = objectsOf(system.parts).map(({ text }) => ({ kind: "system", text: textOf(text) }));
  // Calls without an id are answered in the order of their names.
  const open: { id: string; name: string }[] = [];
  for (const { role, parts } of objectsOf(body.contents)) {
    const kind = role === "model" ? "assistant" : "user";
    for (const part of objectsOf(parts)) {
      if (part.thought === true) {
        turns.push({ kind: "reasoning", text: textOf(part.text), signature: "" });
        continue;
      }
      if (part.thoughtSignature !== undefined) {
        const last = turns.at(-1);
        const signature = readSignature(textOf(part.thoughtSignature), GOOGLE_BEGINNING);
        if (last?.kind === "reasoning" && last.signature === "") turns.splice(-1, 1, { ...last, signature });
        else turns.push({ kind: "reasoning", text: "", signature });
      }
      if (part.functionCall !== undefined) {
        const { id, name, args } = objectOf(part.functionCall);
        open.push({ id: textOf(id) || textOf(name), name: textOf(name) });
        turns.push({ kind: "tool use", id: textOf(id) || textOf(name), name: textOf(name), input: args });
      } else if (part.functionResponse !== undefined) {
        const { id, name, response } = objectOf(part.functionResponse);
        const at = open.findIndex((call) => (textOf(id) === "" ? call.name === name : call.id === id));
        const [call] = at < 0 ? [] : open.splice(at, 1);
        turns.push({ kind: "tool result", id: call?.id ?? textOf(id), text: JSON.stringify(response) });
      } else if (part.inlineData !== undefined) {
        turns.push({ kind: "image", base64: textOf(objectOf(part.inlineData).data) });
      } else if (part.text !== undefined) {
        turns.push({ kind, text: textOf(part.text) });
      }
    }
  }
  return turns;
}

/** What Google takes for the signature of a use that another provider made (https://ai.google.dev/gemini-api/docs/thought-signatures#faqs). */
const UNCHECKED = "skip_thought_signature_validator";

function findComplaint({ query, path, body }: AskedRequest, turns: readonly Turn[]): string | undefined {
  if (hasForeignSignature(turns, (signature) => signature === "" || signature === UNCHECKED)) {
    return "Unable to submit request because Thought signature is not valid.";
  }
  const unknown = Object.keys(body).find((name) => !MEMBERS.includes(name));
  if (unknown !== undefined) return `Invalid JSON payload received. Unknown name "${unknown}": Cannot find field.`;
  if (query.get("key") !== null) return "A key in the query ends up in logs";
  if (path.endsWith(":streamGenerateContent") && query.get("alt") !== "sse") return "Only alt=sse is scripted";
  const contents = objectsOf(body.contents);
  if (contents.length === 0) return "GenerateContentRequest.contents: contents is not specified";
  if (contents.some(({ role }) => role !== undefined && role !== "user" && role !== "model")) {
    return "Please use a valid role: user, model.";
  }
  // https://ai.google.dev/gemini-api/docs/function-calling: as many responses as calls, in the turn right after them.
  for (const [at, { parts }] of contents.entries()) {
    const calls = objectsOf(parts).filter(({ functionCall }) => functionCall !== undefined).length;
    const answers = objectsOf(contents[at + 1]?.parts).filter((part) => part.functionResponse !== undefined).length;
    if (calls !== answers) {
      return "Please ensure that the number of function response parts is equal to the number of function call parts";
    }
  }
  return undefined;
}
