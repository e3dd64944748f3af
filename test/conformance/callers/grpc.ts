import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { Client, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../../gen/google/rpc/status_pb.ts";
import {
  type Block,
  type BlockSchema,
  type ChatInputSchema,
  type MessageSchema,
  Role,
  StopReason,
  type Usage,
} from "../../../gen/weir/router/v1/chat_pb.ts";
import {
  ChatService,
  type CompleteResponse,
  type StreamResponse,
} from "../../../gen/weir/router/v1/chat_service_pb.ts";
import { Meter } from "../../../gen/weir/type/v1/usage_pb.ts";
import type { Turn } from "../provider/language.ts";
import { type Ask, type Caller, type Gateway, MAX_TOKENS, type Seen, type SeenError, TOOLS } from "./caller.ts";

/** Asks ChatService as a plain client of gRPC does. */
export const grpc: Caller = {
  name: "grpc",
  async ask(gateway, ask, signal, onContent) {
    const client = getClient(gateway);
    const metadata = new Metadata();
    metadata.set("authorization", `Bearer ${gateway.key}`);
    return ask.streamed ? stream(client, ask, metadata, signal, onContent) : complete(client, ask, metadata, signal);
  },
};

const clients = new Map<string, Client>();

function getClient({ origin }: Gateway): Client {
  const known = clients.get(origin) ?? new Client(new URL(origin).host, credentials.createInsecure());
  clients.set(origin, known);
  return known;
}

/** Closes the connections of all gateways. */
export function closeGrpcClients(): void {
  for (const client of clients.values()) client.close();
  clients.clear();
}

function complete(client: Client, ask: Ask, metadata: Metadata, signal: AbortSignal): Promise<Seen> {
  const { complete: method } = ChatService.method;
  const { promise, resolve, reject } = Promise.withResolvers<Seen>();
  let headers: Seen["headers"] = {};
  const call = client.makeUnaryRequest(
    `/${ChatService.typeName}/${method.name}`,
    (request: MessageInitShape<typeof method.input>) =>
      Buffer.from(toBinary(method.input, create(method.input, request))),
    (bytes: Buffer) => fromBinary(method.output, bytes),
    { input: compose(ask) },
    metadata,
    (error: ServiceError | null, answer?: CompleteResponse) => {
      signal.removeEventListener("abort", onAbort);
      if (signal.aborted) return reject(signal.reason as Error);
      if (error !== null) return resolve({ ...NOTHING, headers: mergeHeaders(headers, error), error: toError(error) });
      const [candidate] = answer?.candidates ?? [];
      resolve({
        ...NOTHING,
        headers,
        ...readBlocks(candidate?.blocks ?? []),
        stop: nameStop(candidate?.stopReason),
        usage: readUsage(answer?.usage),
        hasMark: true,
        isClean: true,
      });
    },
  );
  const onAbort = () => call.cancel();
  signal.addEventListener("abort", onAbort, { once: true });
  call.once("metadata", (sent: Metadata) => {
    headers = toHeaders(sent);
  });
  return promise;
}

function stream(
  client: Client,
  ask: Ask,
  metadata: Metadata,
  signal: AbortSignal,
  onContent?: () => void,
): Promise<Seen> {
  const { stream: method } = ChatService.method;
  const { promise, resolve, reject } = Promise.withResolvers<Seen>();
  const call = client.makeServerStreamRequest(
    `/${ChatService.typeName}/${method.name}`,
    (request: MessageInitShape<typeof method.input>) =>
      Buffer.from(toBinary(method.input, create(method.input, request))),
    (bytes: Buffer) => fromBinary(method.output, bytes),
    { input: compose(ask) },
    metadata,
  );
  const onAbort = () => call.cancel();
  signal.addEventListener("abort", onAbort, { once: true });
  let headers: Seen["headers"] = {};
  const blocks: Block[] = [];
  let stop = "";
  let usage: Seen["usage"];
  let hasMark = false;
  let failed: ServiceError | undefined;
  call.once("metadata", (sent: Metadata) => {
    headers = toHeaders(sent);
  });
  call.on("data", ({ piece }: StreamResponse) => {
    onContent?.();
    if (piece.case === "blockStarted" && piece.value.candidate === 0) {
      blocks[piece.value.index] = piece.value.block as Block;
    } else if (piece.case === "blockDelta" && piece.value.candidate === 0) {
      const { content } = blocks[piece.value.index] as Block;
      const { delta } = piece.value;
      if (delta.case !== undefined && content.value !== undefined) {
        const member = delta.case === "inputJson" ? "inputJson" : delta.case;
        const grown = content.value as unknown as Record<string, string>;
        grown[member] = (grown[member] ?? "") + delta.value;
      }
    } else if (piece.case === "candidateStopped" && piece.value.candidate === 0) {
      stop = nameStop(piece.value.stopReason);
    } else if (piece.case === "ended") {
      hasMark = true;
      usage = readUsage(piece.value.usage);
    }
  });
  call.on("error", (error: ServiceError) => {
    failed = error;
  });
  call.once("status", ({ code, metadata: trailers }: { code: number; metadata: Metadata }) => {
    signal.removeEventListener("abort", onAbort);
    if (signal.aborted) return reject(signal.reason as Error);
    // An "error" follows in the same turn of the loop.
    setImmediate(() =>
      resolve({
        ...NOTHING,
        headers: { ...headers, ...toHeaders(trailers) },
        ...readBlocks(blocks),
        stop,
        usage,
        hasMark,
        isClean: code === status.OK,
        error: failed && toError(failed),
      }),
    );
  });
  return promise;
}

const NOTHING: Seen = {
  status: 200,
  headers: {},
  text: "",
  tools: [],
  reasoning: [],
  refusal: "",
  stop: "",
  usage: undefined,
  error: undefined,
  hasMark: false,
  isClean: false,
};

function nameStop(reason: StopReason | undefined): string {
  return Object.entries(StopReason).find(([, value]) => value === reason)?.[0] ?? "";
}

function toHeaders(metadata: Metadata): Seen["headers"] {
  return Object.fromEntries(
    Object.entries(metadata.getMap()).map(([name, value]) => [name, typeof value === "string" ? value : ""]),
  );
}

function mergeHeaders(headers: Seen["headers"], error: ServiceError): Seen["headers"] {
  return { ...headers, ...toHeaders(error.metadata) };
}

/** The code's name and, where it is said, Weir's reason. */
function toError(error: ServiceError): SeenError {
  const [bytes] = error.metadata.get("grpc-status-details-bin");
  const details = bytes === undefined ? [] : fromBinary(StatusSchema, bytes as Buffer).details;
  const info = details.find(({ typeUrl }) => typeUrl.endsWith("/google.rpc.ErrorInfo"));
  const reason = info === undefined ? "" : ` ${fromBinary(ErrorInfoSchema, info.value).reason}`;
  return { type: `${status[error.code]}${reason}`, message: error.details };
}

function readBlocks(blocks: readonly Block[]): Pick<Seen, "text" | "tools" | "reasoning" | "refusal"> {
  const contents = blocks.map(({ content }) => content);
  return {
    text: contents.map((content) => (content.case === "text" ? content.value.text : "")).join(""),
    refusal: contents.map((content) => (content.case === "refusal" ? content.value.text : "")).join(""),
    tools: contents.flatMap((content) =>
      content.case === "toolUse"
        ? [{ id: content.value.id, name: content.value.name, input: content.value.inputJson }]
        : [],
    ),
    reasoning: contents.flatMap((content) =>
      content.case === "reasoning" ? [{ text: content.value.text, signature: content.value.signature }] : [],
    ),
  };
}

function readUsage(usage: Usage | undefined): Seen["usage"] {
  if (usage === undefined) return undefined;
  const sum = (...meters: Meter[]) =>
    usage.lines.reduce((total, { meter, quantity }) => total + (meters.includes(meter) ? Number(quantity) : 0), 0);
  return {
    input: sum(Meter.INPUT_TOKENS, Meter.CACHED_INPUT_TOKENS, Meter.CACHE_WRITE_TOKENS),
    output: sum(Meter.OUTPUT_TOKENS, Meter.REASONING_TOKENS),
  };
}

function compose({ model, turns, hasTools }: Ask): MessageInitShape<typeof ChatInputSchema> {
  const messages: { role: Role; blocks: MessageInitShape<typeof BlockSchema>[] }[] = [];
  for (const turn of turns) {
    const role = toRole(turn);
    if (messages.at(-1)?.role !== role) messages.push({ role, blocks: [] });
    messages.at(-1)?.blocks.push({ content: toContent(turn) });
  }
  return {
    model,
    messages: messages as MessageInitShape<typeof MessageSchema>[],
    maxOutputTokens: BigInt(MAX_TOKENS),
    ...(hasTools && {
      tools: TOOLS.map(({ name, description, schema }) => ({
        name,
        description,
        inputSchemaJson: JSON.stringify(schema),
      })),
    }),
  };
}

function toRole({ kind }: Turn): Role {
  switch (kind) {
    case "system":
      return Role.SYSTEM;
    case "user":
    case "image":
      return Role.USER;
    case "tool result":
      return Role.TOOL;
    default:
      return Role.ASSISTANT;
  }
}

function toContent(turn: Turn): MessageInitShape<typeof BlockSchema>["content"] {
  switch (turn.kind) {
    case "system":
    case "user":
    case "assistant":
      return { case: "text", value: { text: turn.text } };
    case "image":
      return {
        case: "image",
        value: { source: { case: "content", value: Buffer.from(turn.base64, "base64") }, mediaType: "image/png" },
      };
    case "tool use":
      return { case: "toolUse", value: { id: turn.id, name: turn.name, inputJson: JSON.stringify(turn.input) } };
    case "tool result":
      return {
        case: "toolResult",
        value: { toolUseId: turn.id, blocks: [{ content: { case: "text", value: { text: turn.text } } }] },
      };
    case "reasoning":
      return { case: "reasoning", value: { text: turn.text, signature: turn.signature } };
  }
}
