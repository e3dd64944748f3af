import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type Answer, composeAnswer } from "./answer.ts";
import { findSignatureFault } from "./aws-signature.ts";
import { chatCompletions } from "./chat-completions.ts";
import { type Command, findCommand, NO_FAULT } from "./command.ts";
import { converse } from "./converse.ts";
import { generateContent } from "./generate-content.ts";
import type { Asked, Json, Language } from "./language.ts";
import { messages } from "./messages.ts";
import { perform } from "./perform.ts";
import { responses } from "./responses.ts";
import { countTokens, embedContent, embeddings } from "./small-languages.ts";

/** What the end of a path asks for. */
const PATHS: readonly (readonly [RegExp, Language])[] = [
  [/\/chat\/completions$/, chatCompletions],
  [/\/responses$/, responses],
  [/\/embeddings$/, embeddings],
  [/\/messages$/, messages],
  [/\/messages\/count_tokens$/, countTokens],
  [/\/models\/.+:(generateContent|streamGenerateContent)$/, generateContent],
  [/\/models\/.+:(embedContent|batchEmbedContents)$/, embedContent],
  [/\/model\/.+\/(converse|converse-stream)$/, converse],
];

/** Models whose names end so answer well whatever the command: what a fallback is made of. */
const STEADY = /-steady$/;

/** A call as the provider saw it. */
export interface ProviderCall {
  readonly language: Language;
  readonly method: string;
  /** With its query, as it came. */
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
  readonly asked: Asked;
  readonly command: Command;
  /** "left": the caller went away before the answer was whole, or while the provider was silent. */
  state: "running" | "answered" | "complained" | "broken" | "left";
}

/** A provider of each dialect at one address, which misbehaves as the prompt says. */
export interface ConformanceProvider {
  /** Without a path. */
  readonly address: string;
  /** The last {@link KEPT_CALLS} calls, oldest first. */
  readonly calls: readonly ProviderCall[];
  /** How many calls were left by their callers so far. */
  readonly left: number;
  /** How many calls were taken so far. */
  readonly taken: number;
  /** How many calls are open. */
  readonly open: number;
  /** How many connections stand. */
  readonly connections: number;
  /** The calls whose command had this id, oldest first. */
  find(id: string): ProviderCall[];
  /** Resolves once a call whose command has this id was taken. */
  whenCall(id: string): Promise<void>;
  /** Resolves once as many calls were left, from the start of the provider. */
  whenLeft(count: number): Promise<void>;
  /** Resolves once as many calls were taken, from the start of the provider. */
  whenTaken(count: number): Promise<void>;
  close(): Promise<void>;
}

/** The key pair with which calls of Bedrock are to be signed, as routers are given it. Any other dialect takes any credential. */
export const CREDENTIAL = "AKIDEXAMPLE:wJalrXUtnFEMI-K7MDENG-bPxRfiCYEXAMPLEKEY";

/** Calls kept with their bodies; older ones are counted only. */
const KEPT_CALLS = 2_000;

/** Largest request that is read, bytes. */
const MAX_BODY_BYTES = 64 << 20;

/**
 * Starts a provider on loopback that speaks each dialect of Weir on the wire, over real HTTP. It is not the scripted provider of the
 * development mesh (`cli/up/scripted-provider`), which is scripted by the name of its models: here the command comes with the call
 * and holds in each dialect, and the bytes are laid out so that a cut can be put at any of them.
 */
export async function startConformanceProvider(options: { readonly port?: number } = {}): Promise<ConformanceProvider> {
  const calls: ProviderCall[] = [];
  const counts = { left: 0, open: 0, taken: 0, connections: 0 };
  let waiting: { readonly isDone: () => boolean; readonly resolve: () => void }[] = [];
  const note = () => {
    const done = waiting.filter(({ isDone }) => isDone());
    waiting = waiting.filter((one) => !done.includes(one));
    for (const { resolve } of done) resolve();
  };
  /** Who waits for a call, by its id. */
  const awaited = new Map<string, () => void>();
  const when = (isDone: () => boolean) =>
    isDone() ? Promise.resolve() : new Promise<void>((resolve) => waiting.push({ isDone, resolve }));

  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    let size = 0;
    request.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size > MAX_BODY_BYTES) request.destroy();
      else chunks.push(chunk);
    });
    request.once("end", () => take(request, response, Buffer.concat(chunks).toString("utf8")));
  });
  server.keepAliveTimeout = 60_000;
  server.on("connection", (socket) => {
    counts.connections += 1;
    socket.once("close", () => {
      counts.connections -= 1;
    });
  });

  const take = (request: IncomingMessage, response: ServerResponse, text: string) => {
    const url = new URL(request.url ?? "/", "http://provider");
    const path = decodeURIComponent(url.pathname);
    if (request.method === "GET" && path.endsWith("/models")) {
      const data = [{ id: "scripted", object: "model", created: 0, owned_by: "weir" }];
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ object: "list", data }));
      return;
    }
    const language = PATHS.find(([pattern]) => pattern.test(path))?.[1];
    if (language === undefined || request.method !== "POST") {
      response.writeHead(404, { "content-type": "text/plain" }).end(`There is no ${request.method} ${url.pathname}`);
      return;
    }
    let body: Json;
    let scripted: Command;
    try {
      body = JSON.parse(text) as Json;
      scripted = findCommand(text);
    } catch (error) {
      response.writeHead(400, { "content-type": "text/plain" }).end((error as Error).message);
      return;
    }
    const { method, headers } = request;
    const signed = { method, path: request.url ?? "/", headers, body: text };
    const fault = language === converse ? findSignatureFault(signed, CREDENTIAL.split(":")[1] ?? "") : undefined;
    if (fault !== undefined) {
      const { headers: more, body: said } = language.composeError(403, undefined);
      response.writeHead(403, { "content-type": "application/json", ...more });
      response.end(said.replace("A scripted failure with 403", `Cannot verify: ${fault}`));
      return;
    }
    const asked = language.readAsked({ path, query: url.searchParams, headers, body });
    const command = STEADY.test(asked.model) ? { ...NO_FAULT, id: scripted.id } : scripted;
    const call: ProviderCall = {
      language,
      method: request.method,
      path: request.url ?? "",
      headers: request.headers,
      body: text,
      asked,
      command,
      state: "running",
    };
    calls.push(call);
    if (calls.length > KEPT_CALLS) calls.shift();
    awaited.get(command.id)?.();
    awaited.delete(command.id);
    counts.taken += 1;
    counts.open += 1;
    const left = new AbortController();
    let isSilent = false;
    response.once("close", () => {
      counts.open -= 1;
      const isCut = call.state === "broken" && !isSilent;
      if (!isCut && !response.writableFinished) {
        call.state = "left";
        counts.left += 1;
      } else if (call.state === "running") call.state = "answered";
      left.abort();
      note();
    });
    note();
    if (asked.complaint !== undefined) {
      call.state = "complained";
      const { headers, body: said } = language.composeError(400, undefined);
      const complaint = said.replace("A scripted failure with 400", JSON.stringify(asked.complaint).slice(1, -1));
      response.writeHead(400, { "content-type": "application/json", ...headers }).end(complaint);
      return;
    }
    const answer: Answer = composeAnswer(command, {
      model: asked.model,
      candidates: asked.candidates,
      // Of one length always, so that a cut after as many bytes is the same cut.
      id: `weir${String(counts.taken).padStart(9, "0")}`,
      nowMs: Date.now(),
    });
    const onBreak = () => {
      call.state = "broken";
      isSilent = command.fault === "never" || command.fault === "stall";
    };
    perform({ response, language, asked, answer, command, onBreak, left: left.signal }).catch((error: unknown) => {
      if (!left.signal.aborted) throw error;
    });
  };

  await new Promise<void>((resolve) => server.listen(options.port ?? 0, "127.0.0.1", resolve));
  return {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls,
    get left() {
      return counts.left;
    },
    get taken() {
      return counts.taken;
    },
    get open() {
      return counts.open;
    },
    get connections() {
      return counts.connections;
    },
    find: (id) => calls.filter(({ command }) => command.id === id),
    whenCall: (id) => {
      if (calls.some(({ command }) => command.id === id)) return Promise.resolve();
      return new Promise((resolve) => awaited.set(id, resolve));
    },
    whenLeft: (count) => when(() => counts.left >= count),
    whenTaken: (count) => when(() => counts.taken >= count),
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
