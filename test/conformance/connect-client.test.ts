// The Connect client of connectrpc in each protocol it speaks, over both versions of HTTP, against a router and a control plane.
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { ReleaseService } from "../../gen/weir/policy/v1/release_service_pb.ts";
import { Role } from "../../gen/weir/router/v1/chat_pb.ts";
import { ChatService, type StreamResponse } from "../../gen/weir/router/v1/chat_service_pb.ts";
import { type Mesh, startMesh } from "../mesh.ts";

let mesh: Mesh;

beforeAll(async () => {
  mesh = await startMesh({ name: "connect-client" });
});

afterAll(() => mesh?.stop());

const TRANSPORTS = [
  ["Connect over HTTP/1.1", (baseUrl: string) => createConnectTransport({ baseUrl, httpVersion: "1.1" })],
  ["Connect over HTTP/2", (baseUrl: string) => createConnectTransport({ baseUrl, httpVersion: "2" })],
  [
    "Connect in binary over HTTP/1.1",
    (baseUrl: string) => createConnectTransport({ baseUrl, httpVersion: "1.1", useBinaryFormat: true }),
  ],
  ["gRPC", (baseUrl: string) => createGrpcTransport({ baseUrl })],
  ["gRPC-Web over HTTP/1.1", (baseUrl: string) => createGrpcWebTransport({ baseUrl, httpVersion: "1.1" })],
  ["gRPC-Web over HTTP/2", (baseUrl: string) => createGrpcWebTransport({ baseUrl, httpVersion: "2" })],
] as const;

function input(model: string) {
  const blocks = [{ content: { case: "text" as const, value: { text: "How deep is the river?" } } }];
  return { input: { model, messages: [{ role: Role.USER, blocks }] } };
}

async function failureOf(call: Promise<unknown>): Promise<ConnectError> {
  return call.then(
    () => Promise.reject(new Error("Cannot find a failure: the call succeeded")),
    (error: unknown) => ConnectError.from(error),
  );
}

describe.each(TRANSPORTS)("%s", (_, createTransport) => {
  const options = () => ({ headers: { authorization: `Bearer ${mesh.key}` } });
  const connect = () => createClient(ChatService, createTransport(mesh.routerUrl("eu")));

  it("completes a chat", async () => {
    const answer = await connect().complete(input("small"), options());

    expect(answer.candidates[0]?.blocks[0]?.content.value).toMatchObject({
      text: "This is a scripted answer piece-1 piece-2",
    });
  });

  it("streams a chat to its end", async () => {
    const pieces: StreamResponse["piece"]["case"][] = [];
    for await (const { piece } of connect().stream(input("large"), options())) pieces.push(piece.case);

    expect([pieces[0], pieces.at(-1)]).toEqual(["started", "ended"]);
    expect(pieces.filter((piece) => piece === "blockDelta")).toHaveLength(8);
  });

  it("hears why it is refused", async () => {
    const error = await failureOf(connect().complete(input("no-such-model"), options()));

    expect(error.code).toBe(Code.NotFound);
    expect(error.findDetails(ErrorInfoSchema)).toMatchObject([{ domain: "weir", reason: "MODEL_UNKNOWN" }]);
  });

  it("hears that its stream was cut", async () => {
    const error = await failureOf(
      (async () => {
        for await (const piece of connect().stream(input("scripted-cut"), options())) void piece;
      })(),
    );

    expect(error.findDetails(ErrorInfoSchema)[0]?.reason).toBe("STREAM_CUT");
  });

  it("asks the control plane", async () => {
    const client = createClient(ReleaseService, createTransport(`http://${mesh.addresses.policy.address}`));

    const { instances } = await client.listInstances({}, { headers: { authorization: `Bearer ${mesh.adminKey}` } });

    expect(instances.map(({ region }) => region).sort()).toEqual(["eu", "us"]);
  });
});

it("a read without side effects is a plain GET of Connect", async () => {
  const path = "weir.policy.v1.ReleaseService/ListInstances";

  const response = await fetch(
    `http://${mesh.addresses.policy.address}/${path}?connect=v1&encoding=json&message=%7B%7D`,
    {
      headers: { authorization: `Bearer ${mesh.adminKey}` },
    },
  );

  expect(response.status).toBe(200);
  expect(await response.json()).toMatchObject({ instances: [{ region: "eu" }, { region: "us" }] });
});
