import { JsonScan, type TextTaker, watchKeys } from "../providers/json-scan.ts";
import { KeptText, type TextMemory } from "../providers/kept-text.ts";

/** Tokens that an image stands for: about the most that providers count for one. */
export const IMAGE_TOKENS = 1_600;

/** Strings of a request, in whatever format, that are no text for the model: names, ids, kinds of media, what signs reasoning. */
const NO_REQUEST_TEXT = [
  "model",
  "encoding_format",
  "user",
  "user_id",
  "id",
  "call_id",
  "tool_call_id",
  "tool_use_id",
  "toolUseId",
  "media_type",
  "mime_type",
  "mimeType",
  "signature",
  "thoughtSignature",
  "encrypted_content",
];
/** The schemas of tools are told to a model with their names. */
const requestScan = new JsonScan(
  watchKeys(["tools", "toolConfig", "functions"], { text: "all", noText: NO_REQUEST_TEXT, names: true }),
);

/** Where the formats have their answer, and what in it is no text. */
const answerScan = new JsonScan(
  watchKeys(["choices", "content", "output", "candidates"], {
    text: "watched",
    noText: [
      "role",
      "type",
      "id",
      "call_id",
      "tool_use_id",
      "toolUseId",
      "status",
      "finish_reason",
      "finishReason",
      "token",
      "severity",
      "category",
      "probability",
      "signature",
      "thoughtSignature",
      "encrypted_content",
    ],
  }),
);

/** The text of a request, and how many images it has. */
export interface RequestText {
  readonly text: KeptText;
  readonly images: number;
}

/** Keeps the text of a request's body, as it went to a provider or came from a caller: a line for each string, for that is how it is framed. */
export function keepRequestText(body: Buffer, memory?: TextMemory): RequestText {
  const taker = new RequestTaker(memory);
  if (body.length > 0) requestScan.scan(body, 0, body.length, taker);
  return taker;
}

/** Keeps the text of an answer that came in one piece. */
export function keepAnswerText(body: Buffer, memory?: TextMemory): KeptText {
  const text = new KeptText(memory);
  answerScan.scan(body, 0, body.length, text);
  return text;
}

/** A line's end as it stands in JSON. */
const LINE_END = Buffer.from("\\n");
/** An image is larger than that; and a smaller one would be no great mistake. */
const IMAGE_BYTES = 2048;
/** How images begin: as data URLs, and in base64 as JPEG, PNG, WebP and GIF. */
const IMAGE_BEGINNINGS = ["data:image/", "/9j/", "iVBORw0KGgo", "UklGR", "R0lGOD"].map((text) => Buffer.from(text));

class RequestTaker implements TextTaker, RequestText {
  readonly text: KeptText;
  images = 0;

  constructor(memory: TextMemory | undefined) {
    this.text = new KeptText(memory);
  }

  take(bytes: Buffer, from: number, to: number): void {
    if (to - from > IMAGE_BYTES && isImage(bytes, from, to)) {
      this.images += 1;
      return;
    }
    this.text.take(bytes, from, to);
    this.text.take(LINE_END, 0, LINE_END.length);
  }
}

/** Whether a string looks like an image. It comes from the caller, so all of it must: else a text could pass for one. */
function isImage(bytes: Buffer, from: number, to: number): boolean {
  const beginning = IMAGE_BEGINNINGS.find(
    (begins) => bytes.compare(begins, 0, begins.length, from, from + begins.length) === 0,
  );
  if (beginning === undefined) return false;
  const comma = bytes.subarray(from, from + 128).indexOf(0x2c);
  let at = from + comma + 1;
  while (at < to && IN_BASE64[bytes[at]!] === 1) at += 1;
  return at === to;
}

const IN_BASE64 = new Uint8Array(256);
// A slash may be escaped.
for (const byte of Buffer.from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=-_\\"))
  IN_BASE64[byte] = 1;
