// A plain @grpc/grpc-js client against a router's ChatService and a control plane's API: a stranger with nothing of the mesh's
// own client, only serialisers from the protos.
import {
  create,
  type DescMessage,
  type DescMethod,
  fromBinary,
  type MessageInitShape,
  toBinary,
} from "@bufbuild/protobuf";
import { Client, type ClientReadableStream, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { BadRequestSchema, ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../gen/google/rpc/status_pb.ts";
import { KeyService } from "../../gen/weir/policy/v1/key_service_pb.ts";
import { Role } from "../../gen/weir/router/v1/chat_pb.ts";
import { ChatService, type CompleteResponse, type StreamResponse } from "../../gen/weir/router/v1/chat_service_pb.ts";
import { type Mesh, startMesh } from "../mesh.ts";

let mesh: Mesh;
let client: Client;

beforeAll(async () => {
  mesh = await startMesh({ name: "grpc-js-client" });
  client = new Client(new URL(mesh.routerUrl("us")).host, credentials.createInsecure());
});

afterAll(async () => {
  client?.close();
  await mesh?.stop();
});

function input(model: string) {
  const blocks = [{ content: { case: "text" as const, value: { text: "How deep is the river?" } } }];
  return { input: { model, messages: [{ role: Role.USER, blocks }] } };
}

/** The four arguments that a generated grpc-js client would fill in. */
function describeCall<I extends DescMessage, O extends DescMessage>(
  method: DescMethod & { input: I; output: O },
  message: MessageInitShape<I>,
) {
  return [
    `/${method.parent.typeName}/${method.name}`,
    (request: ReturnType<typeof create<I>>) => Buffer.from(toBinary(method.input, request)),
    (bytes: Buffer) => fromBinary(method.output, bytes),
    create(method.input, message),
  ] as const;
}

function withKey(key = mesh.key): Metadata {
  const metadata = new Metadata();
  metadata.set("authorization", `Bearer ${key}`);
  return metadata;
}

function complete(model: string, metadata = withKey(), options: { deadline?: number } = {}): Promise<CompleteResponse> {
  const [path, serialize, deserialize, request] = describeCall(ChatService.method.complete, input(model));
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(path, serialize, deserialize, request, metadata, options, (error, answer) =>
      error ? reject(error) : resolve(answer as CompleteResponse),
    );
  });
}

function stream(model: string, options: { deadline?: number } = {}): ClientReadableStream<StreamResponse> {
  const [path, serialize, deserialize, request] = describeCall(ChatService.method.stream, input(model));
  return client.makeServerStreamRequest(path, serialize, deserialize, request, withKey(), options) as never;
}

async function failureOf(call: Promise<unknown>): Promise<ServiceError> {
  return call.then(
    () => Promise.reject(new Error("Cannot find a failure: the call succeeded")),
    (error: ServiceError) => error,
  );
}

function reasonOf(error: ServiceError): string | undefined {
  const [bytes] = error.metadata.get("grpc-status-details-bin");
  const details = fromBinary(StatusSchema, bytes as Buffer).details;
  const info = details.find((detail) => detail.typeUrl.endsWith("/google.rpc.ErrorInfo"));
  return info && fromBinary(ErrorInfoSchema, info.value).reason;
}

async function waitForEnd(model: string): Promise<unknown> {
  return vi.waitFor(
    async () => {
      const call = (await mesh.bill()).calls.findLast((each) => each.model === model);
      expect(call?.status).not.toBe("running");
      expect(call).toBeDefined();
      return call?.status;
    },
    { timeout: 20_000, interval: 50 },
  );
}

describe("Complete", () => {
  it("answers with typed content and usage", async () => {
    const answer = await complete("small");

    const [candidate] = answer.candidates;
    expect(candidate?.blocks[0]?.content).toMatchObject({
      case: "text",
      value: { text: "This is a scripted answer piece-1 piece-2" },
    });
    expect(answer.target).toMatch(/^scripted-us\//);
    expect(answer.usage?.lines.length).toBeGreaterThan(0);
    expect(answer.usage?.costNanos).toBeGreaterThan(0n);
  });

  it("tells id, versions and target in its metadata", async () => {
    const [path, serialize, deserialize, request] = describeCall(ChatService.method.complete, input("small"));
    const metadata = await new Promise<Metadata>((resolve, reject) => {
      const call = client.makeUnaryRequest(
        path,
        serialize,
        deserialize,
        request,
        withKey(),
        (error) => error && reject(error),
      );
      call.on("metadata", resolve);
    });

    expect(metadata.get("x-request-id")[0]).toMatch(/^[0-9a-f-]{36}$/);
    expect(metadata.get("x-weir-target")[0]).toMatch(/^scripted-us\//);
    expect(Number(metadata.get("x-weir-snapshot")[0])).toBeGreaterThan(0);
  });

  it.each([
    ["MODEL_UNKNOWN", status.NOT_FOUND, () => complete("no-such-model")],
    ["KEY_MISSING", status.UNAUTHENTICATED, () => complete("small", new Metadata())],
    ["KEY_MALFORMED", status.UNAUTHENTICATED, () => complete("small", withKey("nonsense"))],
    ["PROVIDER_FAILED", status.UNAVAILABLE, () => complete("scripted-fail")],
  ])("refuses with %s", async (reason, code, call) => {
    const error = await failureOf(call());

    expect([error.code, reasonOf(error)]).toEqual([code, reason]);
  });

  it("ends at its deadline, and so does the provider's call", async () => {
    const error = await failureOf(complete("scripted-silent", withKey(), { deadline: Date.now() + 1_000 }));

    expect(error.code).toBe(status.DEADLINE_EXCEEDED);
    expect(await waitForEnd("scripted-silent")).toBe("left by caller");
  });
});

describe("Stream", () => {
  it("answers from started to ended, block by block", async () => {
    const pieces = (await stream("large").toArray()) as StreamResponse[];

    const kinds = pieces.map(({ piece }) => piece.case);
    const text = pieces
      .map(({ piece }) => (piece.case === "blockDelta" ? String(piece.value.delta.value) : ""))
      .join("");
    expect(kinds[0]).toBe("started");
    expect(kinds.at(-1)).toBe("ended");
    expect(kinds.filter((kind) => kind !== "blockDelta")).toEqual([
      "started",
      "blockStarted",
      "blockStopped",
      "candidateStopped",
      "ended",
    ]);
    expect(text).toBe("This is a scripted answer piece-1 piece-2 piece-3 piece-4 piece-5 piece-6 piece-7");
  });

  it("of a provider that is cut ends with an error, never with ended", async () => {
    const pieces: StreamResponse[] = [];
    const error = await failureOf(
      (async () => {
        for await (const piece of stream("scripted-cut")) pieces.push(piece);
      })(),
    );

    expect(pieces.map(({ piece }) => piece.case)).toContain("blockDelta");
    expect(pieces.map(({ piece }) => piece.case)).not.toContain("ended");
    expect(reasonOf(error)).toBe("STREAM_CUT");
  });

  it("that is cancelled cancels the provider's call", async () => {
    const call = stream("scripted-hold");
    call.on("error", () => undefined);
    for await (const { piece } of call) if (piece.case === "blockDelta") break;

    call.cancel();

    expect(await waitForEnd("scripted-hold")).toBe("left by caller");
  });

  it("ends at its deadline", async () => {
    const call = stream("scripted-stall", { deadline: Date.now() + 1_000 });
    const error = await failureOf(call.toArray());

    expect(error.code).toBe(status.DEADLINE_EXCEEDED);
    expect(await waitForEnd("scripted-stall")).toBe("left by caller");
  });
});

it("the control plane answers it with the fields at fault", async () => {
  const policy = new Client(mesh.addresses.policy.address, credentials.createInsecure());
  const [path, serialize, deserialize, request] = describeCall(KeyService.method.listKeys, {
    organisation: "Not An Id",
  });
  const error = await failureOf(
    new Promise((resolve, reject) => {
      const metadata = new Metadata();
      metadata.set("authorization", `Bearer ${mesh.adminKey}`);
      policy.makeUnaryRequest(path, serialize, deserialize, request, metadata, (failure, answer) =>
        failure ? reject(failure) : resolve(answer),
      );
    }),
  );
  policy.close();

  const [bytes] = error.metadata.get("grpc-status-details-bin");
  const detail = fromBinary(StatusSchema, bytes as Buffer).details.find(({ typeUrl }) =>
    typeUrl.endsWith("BadRequest"),
  );
  expect(error.code).toBe(status.INVALID_ARGUMENT);
  expect(fromBinary(BadRequestSchema, detail!.value).fieldViolations[0]?.field).toBe("organisation");
});
