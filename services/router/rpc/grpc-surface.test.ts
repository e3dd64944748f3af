import { once } from "node:events";
import http2 from "node:http2";
import { create, type DescMessage, fromBinary, type MessageInitShape, toBinary, toJson } from "@bufbuild/protobuf";
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../../gen/google/rpc/status_pb.ts";
import { Role, UsageSchema } from "../../../gen/weir/router/v1/chat_pb.ts";
import {
  ChatService,
  CompleteRequestSchema,
  CompleteResponseSchema,
  StreamRequestSchema,
  StreamResponseSchema,
} from "../../../gen/weir/router/v1/chat_service_pb.ts";
import { OutcomeKind } from "../../../gen/weir/type/v1/usage_pb.ts";
import { ManualClock, systemClock } from "../../shared/clock.ts";
import { Health } from "../../shared/mesh/health.ts";
import { startMeshServer } from "../../shared/mesh/server.ts";
import { createLog } from "../../shared/telemetry/log.ts";
import { BodyMemory } from "../arrival/body-memory.ts";
import type { Greeting, StartChat } from "../arrival/call.ts";
import { MOST_CALL_VALUES } from "../arrival/most-call-values.ts";
import {
  answerError,
  answerEvents,
  answerWell,
  contentEvent,
  type Harness,
  type HarnessOptions,
  type ProviderHandler,
  startHarness,
  startProvider,
  type TestProvider,
} from "../harness.fixture.ts";
import { openai } from "../providers/openai/openai.ts";
import { createGrpcSurface } from "./grpc-surface.ts";

const LIMIT_BYTES = 100_000;
const INPUT = {
  model: "small",
  messages: [{ role: Role.USER, blocks: [{ content: { case: "text" as const, value: { text: "hi" } } }] }],
};

/** A router whose gRPC has its own handler, and one whose RPC library serves it, before the same provider. */
interface Pair {
  readonly hot: Harness;
  readonly library: Harness;
  readonly provider: TestProvider;
  close(): Promise<void>;
}

async function startPair(handler: ProviderHandler, options: Partial<HarnessOptions> = {}): Promise<Pair> {
  const provider = await startProvider(handler);
  const shared = { providers: [provider.url], bodyLimitBytes: LIMIT_BYTES, ...options };
  const hot = await startHarness(shared);
  const library = await startHarness({ ...shared, allByLibrary: true });
  return {
    hot,
    library,
    provider,
    close: async () => {
      await Promise.all([hot.close(), library.close()]);
      await provider.close();
    },
  };
}

/** What a raw client sends. */
interface Sent {
  readonly method?: string;
  readonly headers?: Record<string, string | undefined>;
  readonly body: Buffer;
  /** Where the body is cut into frames. */
  readonly cuts?: readonly number[];
  /** Leaves the stream open after the body. */
  readonly isOpen?: boolean;
}

function openCall({ address, key }: Harness, { method = "Complete", headers = {}, body, cuts = [], isOpen }: Sent) {
  const session = http2.connect(address);
  session.on("error", () => undefined);
  const all: Record<string, string | undefined> = {
    ":method": "POST",
    ":path": `/weir.router.v1.ChatService/${method}`,
    "content-type": "application/grpc",
    te: "trailers",
    authorization: `Bearer ${key}`,
    ...headers,
  };
  const stream = session.request(Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)));
  stream.on("error", () => undefined);
  let from = 0;
  for (const cut of [...cuts].sort((a, b) => a - b)) {
    stream.write(body.subarray(from, cut));
    from = cut;
  }
  if (isOpen === true) stream.write(body.subarray(from));
  else stream.end(body.subarray(from));
  return { session, stream };
}

/** All that a raw client gets. */
async function ask(router: Harness, sent: Sent) {
  const { session, stream } = openCall(router, sent);
  let headers: http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader = {};
  let trailers: http2.IncomingHttpHeaders = {};
  const parts: Buffer[] = [];
  stream.on("response", (got) => {
    headers = got;
  });
  stream.on("trailers", (got) => {
    trailers = got;
  });
  stream.on("data", (part: Buffer) => parts.push(part));
  await once(stream, "close");
  session.destroy();
  const data = Buffer.concat(parts);
  return { headers, trailers, data, resetCode: stream.rstCode, keyId: router.keyId };
}

type Answer = Awaited<ReturnType<typeof ask>>;

/** An answer as something that can be compared: what differs from call to call is blanked. */
function describeAnswer({ headers, trailers, data, resetCode, keyId }: Answer, schema: DescMessage) {
  const messages = splitEnvelopes(data).map((message) => toJson(schema, fromBinary(schema, message)));
  const said = {
    status: headers[":status"],
    contentType: headers["content-type"],
    versions: [headers["x-weir-snapshot"], headers["x-weir-keyring"], headers["x-weir-target"]],
    clientRequestId: headers["x-client-request-id"],
    grpcStatus: trailers["grpc-status"],
    grpcMessage: trailers["grpc-message"],
    otherTrailers: Object.keys(trailers).sort(),
    details: describeDetails(trailers["grpc-status-details-bin"]),
    messages,
    resetCode,
  };
  const text = JSON.stringify(said)
    .replaceAll(String(headers["x-request-id"]), "THE-CALL")
    .replaceAll(keyId, "THE-KEY");
  return JSON.parse(text) as typeof said;
}

function describeDetails(header: string | string[] | undefined) {
  if (header === undefined) return [];
  const { details } = fromBinary(StatusSchema, Buffer.from(String(header), "base64"));
  return details.map(({ typeUrl, value }) => {
    const schema = [ErrorInfoSchema, BadRequestSchema, RetryInfoSchema].find((each) => typeUrl.endsWith(each.typeName));
    return schema === undefined
      ? typeUrl
      : [schema.name, toJson(schema, fromBinary(schema as typeof ErrorInfoSchema, value) as never)];
  });
}

function splitEnvelopes(data: Buffer): Buffer[] {
  const messages: Buffer[] = [];
  for (let at = 0; at < data.length; ) {
    const length = data.readUInt32BE(at + 1);
    messages.push(data.subarray(at + 5, at + 5 + length));
    at += 5 + length;
  }
  return messages;
}

function envelope(message: Uint8Array, { flags = 0, length = message.length } = {}): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt8(flags, 0);
  prefix.writeUInt32BE(length, 1);
  return Buffer.concat([prefix, message]);
}

const encode = (input: MessageInitShape<typeof CompleteRequestSchema>["input"]) =>
  Buffer.from(toBinary(CompleteRequestSchema, create(CompleteRequestSchema, input === undefined ? {} : { input })));
const GOOD = encode(INPUT);
const EVERYTHING = encode({
  ...INPUT,
  maxOutputTokens: 64n,
  candidates: 2,
  endUser: "someone",
  sampling: { temperature: 0.5, topP: 1, stopSequences: ["end"], seed: 7n },
  reasoning: { effort: "low" },
  tools: [{ name: "look", inputSchemaJson: '{"type":"object"}' }],
  toolChoice: { choice: { case: "tool", value: "look" } },
  extras: { logit_bias: { "1": 2 }, deep: [null, true, "é"] },
});

const TWO = Buffer.concat([envelope(EVERYTHING), envelope(GOOD)]);

const METHODS = [
  ["Complete", CompleteResponseSchema],
  ["Stream", StreamResponseSchema],
] as const;

/** What is sent, by name; each is answered alike by both handlers. */
const CASES: Readonly<Record<string, Sent>> = {
  "a good message": { body: envelope(GOOD) },
  "a message with all kinds of fields": { body: envelope(EVERYTHING) },
  "application/grpc+proto": { body: envelope(GOOD), headers: { "content-type": "application/grpc+proto" } },
  "an identity encoding": { body: envelope(GOOD), headers: { "grpc-encoding": "identity" } },
  "an id of its own": { body: envelope(GOOD), headers: { "x-request-id": "mine-1" } },
  "a long deadline": { body: envelope(GOOD), headers: { "grpc-timeout": "30S" } },
  "a flag that nobody knows": { body: envelope(GOOD, { flags: 4 }) },
  "unknown fields": { body: envelope(Buffer.concat([GOOD, Buffer.from([0xfa, 0x3f, 1, 65])])) },
  "bad fields": { body: envelope(encode({ model: "", messages: [{ role: Role.UNSPECIFIED }], candidates: -1 })) },
  "NUL in a text": { body: envelope(encode({ ...INPUT, endUser: "a\0b" })) },
  "a number that is none": { body: envelope(encode({ ...INPUT, sampling: { temperature: Number.NaN } })) },
  "a message of no length": { body: envelope(Buffer.alloc(0)) },
  "an unknown model": { body: envelope(encode({ ...INPUT, model: "nope" })) },
  "what the dialect cannot say": { body: envelope(encode({ ...INPUT, reasoning: { maxTokens: 5n } })) },
  "no key": { body: envelope(GOOD), headers: { authorization: undefined } },
  "a key of no form": { body: envelope(GOOD), headers: { authorization: "Bearer nonsense" } },
  "a key in another header": { body: envelope(GOOD), headers: { authorization: undefined, "x-api-key": "nonsense" } },
  "no body": { body: Buffer.alloc(0) },
  "half a prefix": { body: envelope(GOOD).subarray(0, 3) },
  "a truncated message": { body: envelope(GOOD).subarray(0, -1) },
  "a length beyond the bytes": { body: envelope(GOOD, { length: GOOD.length + 1 }) },
  "a length short of the bytes": { body: envelope(GOOD, { length: GOOD.length - 2 }) },
  "a length over the limit": { body: envelope(GOOD, { length: LIMIT_BYTES + 1 }) },
  "the largest length there is": { body: envelope(GOOD, { length: 0xffffffff }) },
  "a message over the limit": { body: envelope(encode({ ...INPUT, extras: { a: "x".repeat(LIMIT_BYTES) } })) },
  "two messages": { body: Buffer.concat([envelope(GOOD), envelope(GOOD)]) },
  "a second message that is cut": { body: Buffer.concat([envelope(GOOD), envelope(GOOD).subarray(0, 9)]) },
  "a flag of compression without one": { body: envelope(GOOD, { flags: 1 }) },
  "bytes that are no message": { body: envelope(Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f])) },
  "a wire type that is none": { body: envelope(Buffer.from([0x0f, 1])) },
  "text that is no UTF-8": { body: envelope(Buffer.from([0x0a, 3, 0x0a, 1, 0xff])) },
  "no time at all": { body: envelope(GOOD), headers: { "grpc-timeout": "0m" } },
  "a deadline that is none": { body: envelope(GOOD), headers: { "grpc-timeout": "5x" } },
  "an unknown encoding": { body: envelope(GOOD), headers: { "grpc-encoding": "zstd" } },
  "a content type that is not gRPC's": { body: envelope(GOOD), headers: { "content-type": "text/plain" } },
  "a method that is not POST": { body: Buffer.alloc(0), headers: { ":method": "PUT" } },
};

describe("gRPC by its own handler and by the RPC library", () => {
  let pair: Pair;
  beforeAll(async () => {
    pair = await startPair(answerWell);
  });
  afterAll(() => pair.close());

  describe.each(METHODS)("%s", (method, schema) => {
    it.each(Object.entries(CASES))("are answered alike: %s", async (_, sent) => {
      const hot = await ask(pair.hot, { method, ...sent });
      const library = await ask(pair.library, { method, ...sent });

      expect(describeAnswer(hot, schema)).toEqual(describeAnswer(library, schema));
    });
  });

  it.each(["hot", "library"] as const)("say what is wrong with a field of a long name: %s", async (which) => {
    const body = envelope(encode({ ...INPUT, extras: { [`${"x".repeat(90_000)}\0`]: 1 } }));

    const { trailers } = await ask(pair[which], { body });

    expect(decodeURIComponent(String(trailers["grpc-message"]))).toMatch(
      /^Cannot accept CompleteRequest: input\.extras.*x…$/,
    );
  });

  it("are answered alike: an unknown method", async () => {
    const sent = { method: "Forget", body: envelope(GOOD) };

    const hot = await ask(pair.hot, sent);

    expect(hot.headers["grpc-status"]).toBe("12");
    expect(hot.headers["grpc-message"]).toBe((await ask(pair.library, sent)).headers["grpc-message"]);
  });

  it("account the same", () => {
    const summary = ({ accounting }: Harness) =>
      accounting.outcomes.map(({ started, outcome }) => [
        started.model,
        started.requestBytes,
        started.streamed,
        started.surface,
        started.answers,
        started.maxOutputTokens,
        started.caller.endUser,
        outcome.kind,
        outcome.reason,
      ]);

    expect(summary(pair.hot).length).toBeGreaterThan(0);
    expect(summary(pair.hot)).toEqual(summary(pair.library));
    expect(pair.hot.accounting.refusals.length).toBe(pair.library.accounting.refusals.length);
    expect([pair.hot.memory.usedBytes, pair.hot.dispatcher.openChats]).toEqual([0, 0]);
  });

  it("are answered alike in whatever pieces it comes", async () => {
    const bodies = fc.oneof(
      // The library takes a prefix after which nothing comes for nothing at all.
      fc
        .nat(TWO.length)
        .filter((end) => end !== 5 && end !== envelope(EVERYTHING).length + 5)
        .map((end) => TWO.subarray(0, end)),
      fc.nat(255).map((flags) => envelope(EVERYTHING, { flags })),
    );
    await fc.assert(
      fc.asyncProperty(bodies, fc.array(fc.nat(TWO.length), { maxLength: 6 }), async (body, cuts) => {
        const hot = await ask(pair.hot, { body, cuts: cuts.filter((cut) => cut <= body.length) });
        const library = await ask(pair.library, { body });
        expect(describeAnswer(hot, CompleteResponseSchema)).toEqual(describeAnswer(library, CompleteResponseSchema));
      }),
      { numRuns: 50 },
    );
  });

  // Of several faults the library names one or another, depending on how the bytes came.
  it("are both refused or both answered, whatever lengths are said and bytes come", async () => {
    const lengths = fc.constantFrom(
      0,
      1,
      4,
      GOOD.length - 1,
      GOOD.length,
      GOOD.length + 1,
      LIMIT_BYTES,
      LIMIT_BYTES + 1,
    );
    const bodies = fc.oneof(
      fc.tuple(lengths, fc.nat(255)).map(([length, flags]) => envelope(GOOD, { length, flags })),
      fc.uint8Array({ maxLength: 30 }).map((bytes) => Buffer.from(bytes)),
      fc.uint8Array({ maxLength: 30 }).map((bytes) => envelope(bytes)),
    );
    await fc.assert(
      fc.asyncProperty(bodies, fc.array(fc.nat(40), { maxLength: 6 }), async (body, cuts) => {
        const hot = await ask(pair.hot, { body, cuts: cuts.filter((cut) => cut <= body.length) });
        const library = await ask(pair.library, { body });
        const [ours, theirs] = [hot, library].map((answer) => describeAnswer(answer, CompleteResponseSchema));
        expect(ours?.messages).toEqual(theirs?.messages);
        if (ours?.grpcStatus !== theirs?.grpcStatus) {
          expect(["3", "8", "12"]).toEqual(expect.arrayContaining([ours?.grpcStatus, theirs?.grpcStatus]));
        }
      }),
      { numRuns: 50 },
    );
  });
});

describe("gRPC by either handler", () => {
  let pair: Pair;
  afterEach(() => pair?.close());

  it.each([
    ["a revoked key", answerWell, { isKeyRevoked: true }],
    ["no policy yet", answerWell, { hasPolicy: false }],
    ["a model that the key may not use", answerWell, { models: ["other"] }],
    ["a provider that refuses", answerError(400, { message: "too long — 100 %", code: "too_long" }), {}],
    ["a provider that is busy", answerError(429, {}, { "retry-after": "7" }), {}],
    ["a provider that fails", answerError(500), {}],
    ["a stream that breaks", answerEvents([contentEvent("Hel")], "reset"), {}],
  ] as const)("answers alike: %s", async (_, handler, options) => {
    // Time stands still, so that both say the same of who has to wait.
    pair = await startPair(handler, { clock: new ManualClock(Date.now()), ...(options as Partial<HarnessOptions>) });
    for (const [method, schema] of METHODS) {
      const sent = { method, body: envelope(GOOD) };

      const hot = await ask(pair.hot, sent);
      const library = await ask(pair.library, sent);

      expect(describeAnswer(hot, schema)).toEqual(describeAnswer(library, schema));
      expect(hot.trailers["grpc-status"]).not.toBe("0");
      expect(hot.headers["x-request-id"]).toMatch(/^[0-9a-f-]{36}$/);
    }
  });

  it.each(["hot", "library"] as const)("says that the deadline has passed, unary and streamed: %s", async (which) => {
    pair = await startPair((response, body) => {
      if (body.stream === true) answerEvents([contentEvent("Hel")], "silence")(response, body);
    });
    const router = pair[which];

    for (const [method] of METHODS) {
      const { trailers } = await ask(router, { method, body: envelope(GOOD), headers: { "grpc-timeout": "200m" } });
      expect(trailers["grpc-status"]).toBe("4");
      expect(describeDetails(trailers["grpc-status-details-bin"])).toMatchObject([
        ["ErrorInfo", { reason: "DEADLINE_EXCEEDED" }],
      ]);
    }

    // On a busy machine it may pass before the call has begun; then there is no chat.
    for (const { outcome } of router.accounting.outcomes) expect(outcome.kind).toBe(OutcomeKind.CANCELLED);
  });

  it.each(["hot", "library"] as const)("ends the provider's call when its stream is reset: %s", async (which) => {
    pair = await startPair(answerEvents([contentEvent("Hel")], "silence"));
    const router = pair[which];
    const { session, stream } = openCall(router, { method: "Stream", body: envelope(GOOD) });
    await once(stream, "data");

    stream.close(http2.constants.NGHTTP2_CANCEL);

    await pair.provider.left;
    await router.accounting.whenSettled();
    session.destroy();
    expect(router.accounting.outcomes[0]?.outcome).toMatchObject({
      kind: OutcomeKind.CANCELLED,
      reason: "CALLER_GONE",
    });
    expect(router.memory.usedBytes).toBe(0);
  });
});

describe("the handler of gRPC", () => {
  let pair: Pair;
  afterEach(() => pair?.close());

  it("refuses a prefix after which nothing comes", async () => {
    pair = await startPair(answerWell);

    for (const body of [
      envelope(GOOD).subarray(0, 5),
      Buffer.concat([envelope(GOOD), envelope(GOOD).subarray(0, 5)]),
    ]) {
      expect((await ask(pair.hot, { body })).trailers["grpc-status"]).toBe("3");
    }
  });

  it("refuses who has no good key before the message has come, and stops its sending", async () => {
    pair = await startPair(answerWell);
    const body = envelope(Buffer.alloc(50_000), { length: LIMIT_BYTES });

    const { trailers, headers, resetCode } = await ask(pair.hot, {
      body,
      isOpen: true,
      headers: { authorization: "Bearer nonsense" },
    });

    expect(trailers["grpc-status"]).toBe("16");
    expect(headers["x-request-id"]).toMatch(/^[0-9a-f-]{36}$/);
    expect(resetCode).toBe(http2.constants.NGHTTP2_NO_ERROR);
    expect(pair.hot.memory.usedBytes).toBe(0);
  });

  it("refuses a message that is too large before it has come", async () => {
    pair = await startPair(answerWell);

    const { trailers } = await ask(pair.hot, { body: envelope(GOOD, { length: LIMIT_BYTES + 1 }), isOpen: true });

    expect(trailers["grpc-status"]).toBe("8");
  });

  it("refuses many values in few bytes before they become objects", async () => {
    pair = await startPair(answerWell, { bodyLimitBytes: 4 << 20 });
    // A field that nobody knows, again and again.
    const message = Buffer.alloc(2 * MOST_CALL_VALUES + 2, Buffer.from([0x78, 0x00]));

    const { trailers } = await ask(pair.hot, { body: envelope(message) });

    expect(trailers["grpc-status"]).toBe("8");
    expect(trailers["grpc-message"]).toContain("values");
  });

  it("says that the memory for bodies is full, and when to come again", async () => {
    pair = await startPair(answerWell, { bodyMemoryBytes: 1_000 });

    const { trailers } = await ask(pair.hot, { body: envelope(Buffer.alloc(5_000)) });

    expect(trailers["grpc-status"]).toBe("14");
    expect(describeDetails(trailers["grpc-status-details-bin"])).toMatchObject([
      ["ErrorInfo", { reason: "BODY_MEMORY_FULL" }],
      ["RetryInfo", { retryDelay: "1s" }],
    ]);
    expect(pair.hot.memory.usedBytes).toBe(0);
  });

  it("gives back the memory of a message that its caller stopped sending", async () => {
    pair = await startPair(answerWell);
    const { session, stream } = openCall(pair.hot, { body: envelope(GOOD, { length: 1_000 }), isOpen: true });
    while (pair.hot.memory.usedBytes === 0) await new Promise((resolve) => setImmediate(resolve));

    stream.close(http2.constants.NGHTTP2_CANCEL);
    while (pair.hot.memory.usedBytes > 0) await new Promise((resolve) => setImmediate(resolve));

    session.destroy();
    expect(pair.hot.accounting.started).toEqual([]);
  });

  it("ends a call whose deadline passes while its message comes", async () => {
    pair = await startPair(answerWell);

    const { trailers } = await ask(pair.hot, {
      body: envelope(GOOD, { length: 1_000 }),
      isOpen: true,
      headers: { "grpc-timeout": "50m" },
    });

    expect(trailers["grpc-status"]).toBe("4");
  });

  it("pauses the provider of a caller who does not read, and goes on when it does", async () => {
    let written = 0;
    let isDone = false;
    const MANY = 4_000;
    pair = await startPair((response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      const event = `data: ${contentEvent("x".repeat(2_000))}\n\n`;
      const write = () => {
        while (written < MANY) {
          written += 1;
          if (!response.write(event)) return void response.once("drain", write);
        }
        isDone = true;
        response.end("data: [DONE]\n\n");
      };
      write();
    });
    const { session, stream } = openCall(pair.hot, { method: "Stream", body: envelope(GOOD) });
    await once(stream, "response");
    let before = -1;
    // Until nothing moves any more: every buffer between the provider and here is full.
    while (before !== written) {
      before = written;
      for (let turn = 0; turn < 2_000; turn++) await new Promise((resolve) => setImmediate(resolve));
    }
    const wasDone = isDone;
    const parts: Buffer[] = [];
    stream.on("data", (part: Buffer) => parts.push(part));
    await once(stream, "close");
    session.destroy();

    expect(wasDone).toBe(false);
    const pieces = splitEnvelopes(Buffer.concat(parts)).map((bytes) => fromBinary(StreamResponseSchema, bytes).piece);
    expect(pieces.filter(({ case: kind }) => kind === "blockDelta")).toHaveLength(MANY);
    expect(pieces.at(-1)?.case).toBe("ended");
  });
});

describe("the time of a caller", () => {
  /** A server of the surface alone, whose clock and deadlines are the test's. */
  async function start(startChat: StartChat) {
    const watched = new Set<{ deadlineMs: number; onDeadline(): void }>();
    const memory = new BodyMemory(LIMIT_BYTES);
    const clock = { ...systemClock, monotonicMs: () => 1_000 };
    const server = await startMeshServer({
      listen: { host: "127.0.0.1", port: 0 },
      services: [ChatService],
      reflection: false,
      health: new Health(),
      log: createLog({ service: "router", level: "silent" }),
      routes: () => undefined,
      hot: createGrpcSurface({
        startChat,
        greet: () => ({}) as Greeting,
        body: {
          limitBytes: LIMIT_BYTES,
          memory,
          deadlines: { add: (each) => void watched.add(each), remove: (each) => void watched.delete(each) },
          clock,
        },
        requestTimeoutMs: 12_000,
        clock,
      }),
    });
    const router = { address: `http://127.0.0.1:${server.address.port}`, key: "k", keyId: "k" } as Harness;
    /** As the sweep does it. */
    const expire = () => {
      for (const each of [...watched]) {
        watched.delete(each);
        each.onDeadline();
      }
    };
    return { router, server, watched, memory, expire };
  }

  it("is 10 s for a small message, more by its size, and never more than the limit of a request", async () => {
    const { router, server, watched, memory, expire } = await start(() => undefined);
    const seen: number[] = [];
    const answers: Answer[] = [];
    for (const sizeBytes of [11, 16_000, 80_000]) {
      const asked = ask(router, { body: envelope(Buffer.alloc(sizeBytes - 5), { length: LIMIT_BYTES }), isOpen: true });
      while (memory.usedBytes < sizeBytes) await new Promise((resolve) => setImmediate(resolve));
      seen.push(...[...watched].map(({ deadlineMs }) => Math.round(deadlineMs)));
      expire();
      answers.push(await asked);
    }
    await server.close();

    expect(seen).toEqual([11_001, 12_000, 13_000]);
    for (const { trailers } of answers) {
      expect(describeDetails(trailers["grpc-status-details-bin"])).toMatchObject([
        ["ErrorInfo", { reason: "BODY_TOO_SLOW" }],
      ]);
    }
    expect([memory.usedBytes, watched.size]).toEqual([0, 0]);
  });

  it("is bounded for one who does not read its answer", async () => {
    const piece = Buffer.from(`data: ${contentEvent("x".repeat(60_000))}\n\n`);
    const { router, server, watched, expire } = await start((call, sink) => {
      sink.begin({ eventId: call.eventId, target: "t", way: { kind: "typed", format: openai.typed } });
      for (let count = 0; count < 20; count++) sink.write(piece);
      sink.end(() => create(UsageSchema));
    });
    const { session, stream } = openCall(router, { method: "Stream", body: envelope(GOOD) });
    await once(stream, "response");
    const [limit] = watched;
    const deadlineMs = limit?.deadlineMs ?? 0;

    expire();
    stream.resume();
    await once(stream, "close");
    session.destroy();
    await server.close();

    expect(deadlineMs).toBeGreaterThan(1_000 + 30_000 + 1_000_000 / 16);
    expect(stream.rstCode).toBe(http2.constants.NGHTTP2_CANCEL);
    expect(watched.size).toBe(0);
  });
});

it("the two requests have one form on the wire", () => {
  const fields = (schema: DescMessage) => schema.fields.map(({ number, name }) => [number, name]);

  expect(fields(StreamRequestSchema)).toEqual(fields(CompleteRequestSchema));
});
