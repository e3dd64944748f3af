import { once } from "node:events";
import http from "node:http";
import { Code, type ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { afterEach, describe, expect, it } from "vitest";
import { Role, StopReason } from "../../gen/weir/router/v1/chat_pb.ts";
import { ChatService } from "../../gen/weir/router/v1/chat_service_pb.ts";
import { Meter, OutcomeKind, UsageSource } from "../../gen/weir/type/v1/usage_pb.ts";
import { fromConnectError } from "../shared/errors/wire.ts";
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
} from "./harness.fixture.ts";

const closing: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const part of closing.splice(0).reverse()) await part.close();
});

async function start(handler: ProviderHandler, options: Partial<HarnessOptions> = {}) {
  const provider = await startProvider(handler);
  closing.push(provider);
  const router = await startHarness({ providers: [provider.url], ...options });
  closing.push(router);
  return { router, provider };
}

const transports = {
  "Connect over HTTP/1.1": (baseUrl: string) => createConnectTransport({ baseUrl, httpVersion: "1.1" }),
  "Connect over HTTP/2": (baseUrl: string) => createConnectTransport({ baseUrl, httpVersion: "2" }),
  gRPC: (baseUrl: string) => createGrpcTransport({ baseUrl }),
  "gRPC-Web": (baseUrl: string) => createGrpcWebTransport({ baseUrl, httpVersion: "1.1" }),
};
const INPUT = {
  model: "small",
  messages: [{ role: Role.USER, blocks: [{ content: { case: "text" as const, value: { text: "hi" } } }] }],
};
const keyOf = ({ key }: Harness) => ({ headers: { authorization: `Bearer ${key}` } });
const clientOf = ({ address }: Harness) => createClient(ChatService, transports.gRPC(address));

describe("ChatService", () => {
  it.each(Object.entries(transports))("answers and streams over %s", async (_, transport) => {
    const { router, provider } = await start(answerWell);
    const client = createClient(ChatService, transport(router.address));
    const header = new Headers();

    const answer = await client.complete(
      { input: INPUT },
      { ...keyOf(router), onHeader: (headers) => headers.forEach((value, name) => void header.set(name, value)) },
    );
    const pieces: string[] = [];
    for await (const { piece } of client.stream({ input: INPUT }, keyOf(router))) pieces.push(String(piece.case));

    expect(answer).toMatchObject({
      id: header.get("x-request-id"),
      target: "p0/small",
      providerModel: "upstream-0",
      candidates: [
        {
          blocks: [{ content: { case: "text", value: { text: "Hello world" } } }],
          stopReason: StopReason.END,
          providerStopReason: "stop",
        },
      ],
      usage: { source: UsageSource.PROVIDER, costNanos: 7_000n + 6_000n },
      extras: { x_unknown: { kept: true } },
    });
    expect(answer.usage?.lines.map(({ meter, quantity }) => [meter, quantity])).toEqual([
      [Meter.INPUT_TOKENS, 7n],
      [Meter.OUTPUT_TOKENS, 3n],
    ]);
    expect(header.get("x-weir-target")).toBe("p0/small");
    expect(pieces).toEqual([
      "started",
      "blockStarted",
      "blockDelta",
      "blockDelta",
      "blockStopped",
      "candidateStopped",
      "ended",
    ]);
    expect(provider.requests.map(({ body }) => JSON.parse(body).messages)).toEqual([
      [{ role: "user", content: "hi" }],
      [{ role: "user", content: "hi" }],
    ]);
    expect(router.accounting.outcomes.map(({ started, outcome }) => [started.surface, outcome.kind])).toEqual([
      ["grpc", OutcomeKind.ANSWERED],
      ["grpc", OutcomeKind.ANSWERED],
    ]);
  });

  it("refuses with reason and facts", async () => {
    const { router } = await start(answerWell);

    const asked = clientOf(router).complete({ input: { ...INPUT, model: "nope" } }, keyOf(router));

    const error = await asked.catch((cause: unknown) => cause as ConnectError);
    expect(error).toMatchObject({ code: Code.NotFound });
    expect(fromConnectError(error).reason).toBe("MODEL_UNKNOWN");
  });

  it("refuses who has no key", async () => {
    const { router } = await start(answerWell);

    await expect(clientOf(router).complete({ input: INPUT })).rejects.toMatchObject({ code: Code.Unauthenticated });
  });

  it("refuses who has no good key before the message has come, in the words of the protocol", async () => {
    const { router } = await start(answerWell);
    const request = http.request(`${router.address}/weir.router.v1.ChatService/Complete`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: "Bearer nonsense" },
    });
    request.on("error", () => undefined).write('{"input":');

    const [response] = (await once(request, "response")) as [http.IncomingMessage];
    const said = JSON.parse(Buffer.concat(await response.toArray()).toString());
    request.destroy();

    expect([response.statusCode, said.code]).toEqual([401, "unauthenticated"]);
    expect(response.headers["x-request-id"]).toMatch(/^[0-9a-f-]{36}$/);
  });

  it("refuses an input against its rules, with the field", async () => {
    const { router } = await start(answerWell);

    const asked = clientOf(router).complete({ input: { model: "small" } }, keyOf(router));

    await expect(asked).rejects.toMatchObject({ code: Code.InvalidArgument });
    expect(router.accounting.started).toEqual([]);
  });

  it("counts its bodies against the memory for bodies, and recovers", async () => {
    const { router } = await start(answerWell, { bodyMemoryBytes: 50_000 });
    const large = { ...INPUT, extras: { padding: "x".repeat(60_000) } };

    await expect(clientOf(router).complete({ input: large }, keyOf(router))).rejects.toMatchObject({
      code: Code.Unavailable,
    });
    await clientOf(router).complete({ input: INPUT }, keyOf(router));

    expect(router.accounting.started).toHaveLength(1);
    expect(router.memory.usedBytes).toBe(0);
  });

  it("ends a stream that breaks with an error, after what came", async () => {
    const { router } = await start(answerEvents([contentEvent("Hel")], "reset"));
    const pieces: string[] = [];

    const reading = (async () => {
      for await (const { piece } of clientOf(router).stream({ input: INPUT }, keyOf(router)))
        pieces.push(String(piece.case));
    })();

    await expect(reading).rejects.toMatchObject({ code: Code.Unavailable });
    expect(pieces).toEqual(["started", "blockStarted", "blockDelta"]);
    expect(router.accounting.outcomes[0]?.outcome.kind).toBe(OutcomeKind.CUT);
  });

  it("says what the provider refused", async () => {
    const { router } = await start(answerError(400, { message: "too long", code: "context_length_exceeded" }));

    const error = await clientOf(router)
      .complete({ input: INPUT }, keyOf(router))
      .catch((cause: unknown) => cause);

    expect(fromConnectError(error)).toMatchObject({
      reason: "PROVIDER_REFUSED",
      facts: { provider_code: "context_length_exceeded", provider_status: "400" },
    });
    expect((error as ConnectError).rawMessage).toContain("too long");
  });

  it("honours the caller's deadline", async () => {
    const { router } = await start(() => undefined);

    const asked = clientOf(router).complete({ input: INPUT }, { ...keyOf(router), timeoutMs: 500 });

    await expect(asked).rejects.toMatchObject({ code: Code.DeadlineExceeded });
    // On a busy machine the deadline may pass before the call has arrived; then there is no chat.
    await router.accounting.whenSettled(router.accounting.started.length);
    for (const { outcome } of router.accounting.outcomes) expect(outcome.kind).toBe(OutcomeKind.CANCELLED);
  });

  it("cancels the provider when the caller leaves, unary and streamed", async () => {
    for (const streamed of [false, true]) {
      const { router, provider } = await start(
        streamed ? answerEvents([contentEvent("Hel")], "silence") : () => undefined,
      );
      const leaving = new AbortController();
      const options = { ...keyOf(router), signal: leaving.signal };

      if (streamed) {
        for await (const { piece } of clientOf(router).stream({ input: INPUT }, options)) {
          if (piece.case === "blockDelta") break;
        }
        leaving.abort();
      } else {
        const asked = clientOf(router).complete({ input: INPUT }, options);
        asked.catch(() => undefined);
        while (provider.requests.length === 0) await new Promise((resolve) => setImmediate(resolve));
        leaving.abort();
      }

      await provider.left;
      await router.accounting.whenSettled();
      expect(router.accounting.outcomes).toMatchObject([
        { outcome: { kind: OutcomeKind.CANCELLED, reason: "CALLER_GONE" } },
      ]);
    }
  });
});
