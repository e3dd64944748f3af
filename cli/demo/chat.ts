import OpenAI from "openai";

/** What a caller saw of a chat. */
export interface SeenChat {
  /** Id of the call: of its usage and of its record. */
  readonly requestId: string;
  readonly target: string;
  readonly text: string;
  /** Pieces of content of a stream; 1 for a unary answer. */
  readonly pieces: number;
  readonly tokens: number;
}

/** How long a chat may take. */
const CHAT_TIMEOUT_MS = 60_000;

/** Asks a router for a chat with the official `openai` client, as any application would: by changing the base URL. */
export async function askUnary(baseUrl: string, key: string, model: string): Promise<SeenChat> {
  const { data, response } = await createClient(baseUrl, key)
    .chat.completions.create({ model, messages: [{ role: "user", content: "Say hello" }] })
    .withResponse();
  const text = data.choices[0]?.message.content ?? "";
  requireContent(text);
  return { ...readHeaders(response), text, pieces: 1, tokens: data.usage?.total_tokens ?? 0 };
}

/** Asks a router for a streamed chat, with usage at its end. */
export async function askStreamed(baseUrl: string, key: string, model: string): Promise<SeenChat> {
  const { data: stream, response } = await createClient(baseUrl, key)
    .chat.completions.create({
      model,
      messages: [{ role: "user", content: "Say hello, piece by piece" }],
      stream: true,
      stream_options: { include_usage: true },
    })
    .withResponse();
  let text = "";
  let pieces = 0;
  let tokens = 0;
  let finished = false;
  for await (const chunk of stream) {
    const choice = chunk.choices[0];
    if (choice?.delta.content) {
      text += choice.delta.content;
      pieces += 1;
    }
    finished ||= choice?.finish_reason !== undefined && choice.finish_reason !== null;
    tokens = chunk.usage?.total_tokens ?? tokens;
  }
  requireContent(text);
  if (!finished) {
    throw new Error("Cannot accept stream: it ended without a finish reason");
  }
  return { ...readHeaders(response), text, pieces, tokens };
}

function createClient(baseUrl: string, key: string): OpenAI {
  return new OpenAI({ baseURL: baseUrl, apiKey: key, timeout: CHAT_TIMEOUT_MS, maxRetries: 0 });
}

function readHeaders(response: Response): Pick<SeenChat, "requestId" | "target"> {
  const requestId = response.headers.get("x-request-id");
  if (!requestId) {
    throw new Error("Cannot follow chat: the answer has no x-request-id");
  }
  return { requestId, target: response.headers.get("x-weir-target") ?? "" };
}

function requireContent(text: string): void {
  if (text === "") {
    throw new Error("Cannot accept answer: it has no content");
  }
}
