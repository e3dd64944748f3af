// Nonsense below the body, on a router's port for callers: methods, paths, content types, headers, framing, slowness. Each gets
// an error in the shape of the OpenAI API, or a closed connection where HTTP itself is broken, and the router lives on.

import { once } from "node:events";
import http2 from "node:http2";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { floodHttp2, toRapidReset } from "../../services/shared/mesh/http2-frames.fixture.ts";
import { type Mesh, startMesh } from "../mesh.ts";
import { readRssBytes, sendRaw } from "./raw.ts";

const BODY = JSON.stringify({ model: "small", messages: [{ role: "user", content: "hello" }] });

let mesh: Mesh;
let url: string;
let pid: number;

beforeAll(async () => {
  const settings = { WEIR_HEADERS_TIMEOUT: "2s", WEIR_REQUEST_TIMEOUT: "3s" };
  mesh = await startMesh({ name: "bad-http", settings: { "router-eu": settings } });
  url = mesh.routerUrl("eu");
  pid = mesh.processes["router-eu"].pid;
});

afterAll(() => mesh?.stop());

afterEach(async () => {
  const response = await chat();
  expect([response.status, mesh.processes["router-eu"].pid]).toEqual([200, pid]);
});

function chat(path = "/v1/chat/completions", init: RequestInit = {}): Promise<Response> {
  return fetch(url + path, {
    method: "POST",
    body: BODY,
    ...init,
    headers: { authorization: `Bearer ${mesh.key}`, "content-type": "application/json", ...init.headers },
  });
}

/** Expects an error as clients of the OpenAI API parse it. */
async function expectOpenAiError(response: Response, status: number): Promise<void> {
  expect(response.headers.get("content-type")).toMatch(/^application\/json/);
  const { error } = (await response.json()) as { error: Record<string, unknown> };
  expect({ status: response.status, error }).toMatchObject({
    status,
    error: {
      message: expect.stringMatching(/[a-z]{3}/),
      type: expect.stringMatching(/./),
      code: expect.stringMatching(/./),
    },
  });
  expect(error).toHaveProperty("param");
}

describe("a wrong method", () => {
  it.each(["GET", "PUT", "DELETE", "PATCH"])("%s on chat completions is 405 with what is allowed", async (method) => {
    const response = await chat("/v1/chat/completions", { method, body: null });

    expect(response.headers.get("allow")).toContain("POST");
    await expectOpenAiError(response, 405);
  });

  it("POST on models is 405 with what is allowed", async () => {
    const response = await chat("/v1/models");

    expect(response.headers.get("allow")).toContain("GET");
    await expectOpenAiError(response, 405);
  });
});

describe("a wrong path", () => {
  it.each([
    "/",
    "/v1",
    "/v1/nothing",
    "/V1/chat/completions",
    "/v1/chat/completions/",
    "/v1/chat/completions.",
    "/v1/chat/completions;jsessionid=1",
    "/v1/chat%2Fcompletions",
    "//v1/chat/completions",
    "/v1/%2e%2e%2fmetrics",
    "/metrics",
    "/%00",
    "/%ff",
  ])("%s is 404", async (path) => {
    await expectOpenAiError(await chat(path), 404);
  });

  it("that OpenAI has and we do not serve says so", async () => {
    const response = await chat("/v1/images/generations");

    await expectOpenAiError(response, 501);
  });

  it.each([
    ["dots", `POST /v1/../metrics HTTP/1.1`],
    ["another host", "POST http://169.254.169.254/v1/chat HTTP/1.1"],
  ])("with %s in the request line is 404", async (_, line) => {
    const answer = await sendRaw(url, `${line}\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`);

    expect(answer.status).toBe(404);
  });
});

describe("a wrong content type", () => {
  it.each([
    "text/plain",
    "text/json",
    "multipart/form-data; boundary=x",
    "application/x-www-form-urlencoded",
    "application/json; charset=utf-16",
  ])("%s is 415", async (type) => {
    await expectOpenAiError(await chat("/v1/chat/completions", { headers: { "content-type": type } }), 415);
  });

  it.each(["application/json; charset=utf-8", "application/json;charset=UTF-8", "Application/JSON"])(
    "%s is none",
    async (type) => {
      const response = await chat("/v1/chat/completions", { headers: { "content-type": type } });

      expect(response.status).toBe(200);
    },
  );

  it("an encoding of the body that we do not read is 415", async () => {
    await expectOpenAiError(await chat("/v1/chat/completions", { headers: { "content-encoding": "br" } }), 415);
  });
});

describe("broken HTTP", () => {
  const head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
  const authorised = () => `${head}authorization: Bearer ${mesh.key}\r\n`;

  it.each([
    ["both a length and chunks", `${head}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`],
    ["two lengths", `${head}content-length: 5\r\ncontent-length: 6\r\n\r\nhello`],
    ["a length that is no number", `${head}content-length: five\r\n\r\nhello`],
    ["a negative length", `${head}content-length: -1\r\n\r\n`],
    ["NUL in a header", `${head}x-a: a\0b\r\n\r\n`],
    ["no host", "POST /v1/chat/completions HTTP/1.1\r\n\r\n"],
    ["a method that is none", "FETCH / HTTP/1.1\r\nhost: x\r\n\r\n"],
    ["a version that is none", "GET / HTTP/9.9\r\nhost: x\r\n\r\n"],
    ["no HTTP at all", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"],
  ])("with %s is 400, in words, and the connection is closed", async (_, bytes) => {
    const answer = await sendRaw(url, Buffer.from(bytes, "latin1"));

    expect(answer.status).toBe(400);
    expect(answer.text).toMatch(/"error":\{"message":/);
  });

  it.each([
    ["an unknown transfer encoding", "transfer-encoding: xchunked\r\n\r\n0\r\n\r\n"],
    ["a chunk that is too large to count", "transfer-encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n"],
    ["a chunk whose length is no number", "transfer-encoding: chunked\r\n\r\nfive\r\nhello\r\n0\r\n\r\n"],
  ])("in the body, with %s, is refused, with a key and without", async (_, rest) => {
    const [known, unknown] = [await sendRaw(url, authorised() + rest), await sendRaw(url, head + rest)];

    expect(known.status).toBe(400);
    // Refused by its head or by its body, whichever is read first.
    expect([400, 401]).toContain(unknown.status);
    expect(known.text).toMatch(/"error":\{"message":/);
    expect(unknown.text).toMatch(/"error":\{"message":/);
  });

  it("after a good request is answered after it", async () => {
    const good = `GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${mesh.key}\r\n\r\n`;

    const answer = await sendRaw(url, `${good}nonsense\r\n\r\n`);

    expect(answer.text).toMatch(/^HTTP\/1\.1 200 .*HTTP\/1\.1 400 /s);
  });

  it("of HTTP/2 after its preface ends the connection", async () => {
    const answer = await sendRaw(url, `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${"junk".repeat(100)}`);

    expect(answer.status).toBe(0);
  });

  it("CONNECT is refused", async () => {
    const answer = await sendRaw(url, "CONNECT 169.254.169.254:80 HTTP/1.1\r\nhost: x\r\n\r\n");

    expect(answer.status).not.toBe(200);
  });

  it("an expectation that is unknown is 417", async () => {
    const answer = await sendRaw(url, `${head}expect: miracles\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`);

    expect(answer.status).toBe(417);
  });
});

describe("a flood of headers", () => {
  it.each([
    ["one of 64 kB", `x-a: ${"y".repeat(65_536)}\r\n`],
    ["5,000 small ones", "x-a: y\r\n".repeat(5_000)],
  ])("%s is 431", async (_, headers) => {
    const answer = await sendRaw(url, `GET /v1/models HTTP/1.1\r\nhost: x\r\n${headers}\r\n`);

    expect(answer.status).toBe(431);
  });

  it("over HTTP/2 ends the stream and nothing else", async () => {
    const session = http2.connect(url);
    session.on("error", () => undefined);
    const flood = Object.fromEntries(Array.from({ length: 500 }, (_, index) => [`x-${index}`, "y".repeat(100)]));
    const stream = session.request({ ":path": "/v1/models", ...flood });
    const answered = once(stream, "response").catch(() => []);
    const closed = new Promise((resolve) => stream.once("close", resolve));
    stream.on("error", () => undefined).resume();

    await closed;
    const [headers] = (await Promise.race([answered, closed.then(() => [])])) as [Record<string, unknown>?];
    session.destroy();

    expect(headers?.[":status"]).not.toBe(200);
  });
});

describe("a flood of streams", () => {
  // CVE-2023-44487: streams that are reset as soon as they are opened.
  it("that are reset at once ends the connection and nothing else", async () => {
    const session = http2.connect(url);
    session.on("error", () => undefined);
    const ended = new Promise((resolve) => session.once("close", resolve));
    const flood = () => {
      for (let index = 0; index < 500 && !session.destroyed && !session.closed; index += 1) {
        const stream = session.request({ ":path": "/v1/models" });
        stream.on("error", () => undefined);
        stream.close(http2.constants.NGHTTP2_CANCEL);
      }
      if (!session.destroyed) setImmediate(flood);
    };
    flood();

    await ended;

    expect((await chat()).status).toBe(200);
  });
});

describe("a flood of thousands of streams, again and again", () => {
  it("leaves a neighbour's connection alone, and no memory taken", async () => {
    const port = Number(new URL(url).port);
    const session = http2.connect(url);
    const ask = async () => {
      const headers = { authorization: `Bearer ${mesh.key}`, "content-type": "application/json" };
      const stream = session.request({ ":path": "/v1/chat/completions", ":method": "POST", ...headers });
      const [answer] = (await once(stream.end(BODY).resume(), "response")) as [http2.IncomingHttpHeaders];
      return answer[":status"];
    };
    const flood = async () => {
      for (let round = 0; round < 4; round += 1) {
        const { isEnded } = await floodHttp2(port, 20_000, toRapidReset);
        expect(isEnded).toBe(true);
      }
    };
    await flood();
    const before = readRssBytes(pid);
    const asked = await ask();

    await flood();

    expect([asked, await ask()]).toEqual([200, 200]);
    expect(readRssBytes(pid) - before).toBeLessThan(96 << 20);
    session.close();
  });
});

describe("slowness", () => {
  it("of headers is 408", async () => {
    const answer = await sendRaw(url, "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n");

    expect(answer.status).toBe(408);
    expect(answer.text).toMatch(/"error":\{"message":/);
  });

  it("of a body is 408", async () => {
    const key = `authorization: Bearer ${mesh.key}\r\n`;
    const head = `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n${key}content-type: application/json\r\n`;

    const answer = await sendRaw(url, `${head}content-length: 1000\r\n\r\n{"model"`);

    expect(answer.status).toBe(408);
    expect(answer.text).toMatch(/"error":\{"message":/);
  });

  it("of a first byte closes the connection", async () => {
    const answer = await sendRaw(url, "");

    expect(answer.text).toBe("");
  });
});

describe("the port for operators", () => {
  it.each([
    ["GET", "/nothing", 404],
    ["POST", "/metrics", 405],
    ["DELETE", "/readyz", 405],
    ["POST", "/v1/chat/completions", 404],
    ["POST", "/weir.router.v1.ChatService/Complete", 404],
  ])("answers %s %s with %i, in words", async (method, path, status) => {
    const response = await fetch(mesh.routerAdminUrl("eu") + path, { method });

    expect([response.status, await response.json()]).toMatchObject([
      status,
      { message: expect.stringMatching(/[a-z]{3}/) },
    ]);
  });

  it("answers broken HTTP with 400 and a flood of headers with 431", async () => {
    const broken = await sendRaw(mesh.routerAdminUrl("eu"), "nonsense\r\n\r\n");
    const flood = await sendRaw(
      mesh.routerAdminUrl("eu"),
      `GET / HTTP/1.1\r\nhost: x\r\nx-a: ${"y".repeat(65_536)}\r\n\r\n`,
    );

    expect([broken.status, flood.status]).toEqual([400, 431]);
  });
});

it("headers of a proxy that nobody trusts change nothing", async () => {
  const response = await chat("/v1/chat/completions", {
    headers: { "x-forwarded-for": "127.0.0.1", forwarded: "for=127.0.0.1", "x-http-method-override": "GET" },
  });

  expect(response.status).toBe(200);
});

it("`Connection: authorization` strips no key", async () => {
  const head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
  const auth = "authorization: Bearer nonsense\r\nconnection: authorization, close\r\n";

  const answer = await sendRaw(url, `${head}${auth}content-length: ${BODY.length}\r\n\r\n${BODY}`);

  expect(answer.status).toBe(401);
});
