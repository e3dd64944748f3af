// The OpenAI paths over HTTP/2 without TLS, on the port that speaks HTTP/1.1 too: a plain node:http2 client, many streams on one
// connection.
import { once } from "node:events";
import http2 from "node:http2";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type Mesh, startMesh } from "../mesh.ts";

let mesh: Mesh;
let session: http2.ClientHttp2Session;

beforeAll(async () => {
  mesh = await startMesh({ name: "http2-client" });
  session = http2.connect(mesh.routerUrl("eu"));
});

afterAll(async () => {
  session?.destroy();
  await mesh?.stop();
});

function chat(body: object): http2.ClientHttp2Stream {
  const stream = session.request({
    ":method": "POST",
    ":path": "/v1/chat/completions",
    authorization: `Bearer ${mesh.key}`,
    "content-type": "application/json",
  });
  stream.end(JSON.stringify({ messages: [{ role: "user", content: "How deep is the river?" }], ...body }));
  return stream;
}

async function read(
  stream: http2.ClientHttp2Stream,
): Promise<{ status: number; headers: Record<string, unknown>; text: string }> {
  const [headers] = (await once(stream, "response")) as [http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader];
  return { status: headers[":status"] ?? 0, headers, text: Buffer.concat(await stream.toArray()).toString() };
}

describe("over HTTP/2", () => {
  it("a unary chat is answered", async () => {
    const { status, headers, text } = await read(chat({ model: "small" }));

    expect(status).toBe(200);
    expect(headers["x-weir-target"]).toMatch(/^scripted-eu\//);
    expect(JSON.parse(text).choices[0].message.content).toBe("This is a scripted answer piece-1 piece-2");
  });

  it("a streamed chat ends with [DONE]", async () => {
    const { status, headers, text } = await read(chat({ model: "large", stream: true }));

    expect([status, headers["content-type"]]).toEqual([200, expect.stringMatching(/^text\/event-stream/)]);
    expect(text.match(/piece-/g)).toHaveLength(7);
    expect(text).toMatch(/\n\ndata: \[DONE\]\n\n$/);
  });

  it("fifty chats go side by side on one connection", async () => {
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, index) => read(chat({ model: "large", stream: index % 2 === 0 }))),
    );

    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    expect(answers.every(({ text }) => text.includes("piece-7"))).toBe(true);
  });

  it("a refusal has the body of the OpenAI API", async () => {
    const { status, text } = await read(chat({ model: "no-such-model" }));

    expect([status, JSON.parse(text)]).toMatchObject([404, { error: { message: expect.stringMatching(/./) } }]);
  });

  it("a stream that is reset reaches the provider, and the others on the connection go on", async () => {
    const leaving = chat({ model: "scripted-hold", stream: true });
    leaving.on("error", () => undefined);
    await once(leaving, "data");
    const staying = read(chat({ model: "scripted-slow-stream", stream: true }));

    leaving.close(http2.constants.NGHTTP2_CANCEL);

    await vi.waitFor(
      async () => {
        const call = (await mesh.bill()).calls.find(({ model }) => model === "scripted-hold");
        expect(call?.status).toBe("left by caller");
      },
      { timeout: 20_000, interval: 50 },
    );
    expect((await staying).text).toMatch(/data: \[DONE\]\n\n$/);
  });
});
