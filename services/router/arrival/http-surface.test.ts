import { connect } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { answerWell, type Harness, startHarness, startProvider, type TestProvider } from "../harness.fixture.ts";

let provider: TestProvider;
let router: Harness;

beforeAll(async () => {
  provider = await startProvider(answerWell);
  router = await startHarness({ providers: [provider.url], bodyLimitBytes: 100_000, bodyMemoryBytes: 150_000 });
});
afterAll(async () => {
  await router.close();
  await provider.close();
});
afterEach(() => {
  // Whatever was asked, nothing of it stays.
  expect(router.memory.usedBytes).toBe(0);
  expect(router.dispatcher.openChats).toBe(0);
});

const BODY = JSON.stringify({ model: "small", messages: [{ role: "user", content: "hi" }] });

const ask = (path: string, init: RequestInit = {}, key = router.key) =>
  fetch(`${router.address}${path}`, {
    method: "POST",
    body: init.method === "GET" ? undefined : BODY,
    ...init,
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json", ...init.headers },
  } as RequestInit);

/** Sends bytes as they are; returns all that comes until the connection closes or `enough` says so. */
function sendRaw(text: string, enough: (received: string) => boolean = () => false): Promise<string> {
  const { port } = new URL(router.address);
  return new Promise((resolve) => {
    let received = "";
    const socket = connect(Number(port), "127.0.0.1", () => socket.write(text));
    const end = () => {
      socket.destroy();
      resolve(received);
    };
    socket.on("data", (data) => {
      received += data.toString();
      if (enough(received)) end();
    });
    socket.on("error", end).on("end", end).on("close", end);
  });
}

describe("the OpenAI surface", () => {
  it.each([
    ["GET", "/v1/chat/completions", 405, "method_not_allowed", "POST"],
    ["PUT", "/v1/chat/completions", 405, "method_not_allowed", "POST"],
    ["POST", "/v1/models", 405, "method_not_allowed", "GET, HEAD"],
    ["POST", "/v1/images/generations", 501, "not_served", null],
    ["GET", "/v1/chat/completions/abc", 501, "not_served", null],
    ["POST", "/v1", 404, "not_found", null],
    ["POST", "/v1/", 404, "not_found", null],
    ["POST", "/v1/chat/completions/", 404, "not_found", null],
    ["POST", "/v1/chat%2Fcompletions", 404, "not_found", null],
    ["POST", "/v1/CHAT/completions", 404, "not_found", null],
    ["POST", "/", 404, "not_found", null],
    ["GET", "/metrics", 404, "not_found", null],
  ])("answers %s %s with %i in the dialect of OpenAI", async (method, path, status, code, allow) => {
    const response = await ask(path, { method });

    expect(response.status).toBe(status);
    expect(response.headers.get("allow")).toBe(allow);
    expect(response.headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
    expect(await response.json()).toEqual({
      error: { message: expect.stringMatching(/^Cannot /), type: "invalid_request_error", param: null, code },
    });
  });

  it.each([
    [undefined, "KEY_MISSING"],
    ["Bearer", "KEY_MISSING"],
    ["Basic abc", "KEY_MISSING"],
    ["Bearer sk-123", "KEY_MALFORMED"],
    [`Bearer weir_production_aaaaaaaaaaaa_${"x".repeat(43)}_000000`, "KEY_MALFORMED"],
  ])("refuses the authorization %s before it reads the body", async (authorization, reason) => {
    const { length: started } = router.accounting.started;

    const response = await fetch(`${router.url}/chat/completions`, {
      method: "POST",
      body: "this is not even JSON",
      headers: { "content-type": "application/json", ...(authorization !== undefined && { authorization }) },
    });

    expect(response.status).toBe(401);
    expect(response.headers.get("x-weir-reason")).toBe(reason);
    expect(response.headers.get("x-should-retry")).toBe("false");
    expect(await response.json()).toMatchObject({ error: { code: "invalid_api_key", type: "authentication_error" } });
    expect(router.accounting.started).toHaveLength(started);
  });

  it("takes a key from x-api-key and api-key too", async () => {
    for (const name of ["x-api-key", "api-key"]) {
      const response = await fetch(`${router.url}/models`, { headers: { [name]: router.key } });
      expect(response.status).toBe(200);
    }
  });

  it.each([
    ["text/plain"],
    ["application/json; charset=utf-16"],
    ["multipart/form-data; boundary=x"],
    ["application/jsonx"],
  ])("refuses the content type %s", async (type) => {
    const response = await ask("/v1/chat/completions", { headers: { "content-type": type } });

    expect(response.status).toBe(415);
  });

  it("refuses a compressed body", async () => {
    const response = await ask("/v1/chat/completions", { headers: { "content-encoding": "gzip" } });

    expect(response.status).toBe(415);
  });

  it("takes JSON with its charset said", async () => {
    const response = await ask("/v1/chat/completions", {
      headers: { "content-type": "application/json; charset=UTF-8" },
    });

    expect(response.status).toBe(200);
  });

  it.each([
    ["{", "body_malformed", null],
    ["", "body_malformed", null],
    [`${BODY} x`, "body_malformed", null],
    ['{"model":"small","messages":[]}', "argument_invalid", "messages"],
    ['{"model":"small","model":"other","messages":[1]}', "argument_invalid", "model"],
    ['{"model":7,"messages":[1]}', "argument_invalid", "model"],
  ])("answers the body %j with 400 and names the field", async (body, code, param) => {
    const response = await ask("/v1/chat/completions", { body });

    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { code, param } });
  });

  it("refuses a body over the limit, announced or not, and the caller gets to read that", async () => {
    const large = `{"model":"small","messages":["${"x".repeat(200_000)}"]}`;
    const head = `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${router.key}\r\ncontent-type: application/json\r\n`;

    const announced = await sendRaw(`${head}content-length: ${large.length}\r\n\r\n${large}`);
    const chunked = await sendRaw(
      `${head}transfer-encoding: chunked\r\n\r\n${large.length.toString(16)}\r\n${large}\r\n0\r\n\r\n`,
    );

    for (const answer of [announced, chunked]) {
      expect(answer).toMatch(/^HTTP\/1\.1 413 /);
      expect(answer).toContain("body_too_large");
      expect(answer).toMatch(/connection: close/i);
    }
  });

  it("refuses bodies beyond the memory for bodies, says when to come back, and recovers", async () => {
    const head = `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${router.key}\r\ncontent-type: application/json\r\ncontent-length: 90000\r\n\r\n`;
    const half = `{"model":"small","messages":["${"x".repeat(80_000)}`;
    const { port } = new URL(router.address);
    const first = connect(Number(port), "127.0.0.1", () => first.write(head + half));
    while (router.memory.usedBytes < half.length) await new Promise((resolve) => setImmediate(resolve));

    const second = await sendRaw(head + half, (received) => received.includes("body_memory_full"));

    expect(second).toMatch(/^HTTP\/1\.1 503 /);
    expect(second).toMatch(/retry-after: 1\r\n/);
    first.destroy();
    while (router.memory.usedBytes > 0) await new Promise((resolve) => setImmediate(resolve));
    expect((await ask("/v1/chat/completions")).status).toBe(200);
  });

  it("gives the caller's own request id back, and never takes it for its own", async () => {
    const given = await ask("/v1/chat/completions", { headers: { "x-request-id": "mine-1" } });
    const hostile = await ask("/v1/chat/completions", { headers: { "x-request-id": "a b" } });

    expect(given.headers.get("x-client-request-id")).toBe("mine-1");
    expect(given.headers.get("x-request-id")).not.toBe("mine-1");
    expect(hostile.headers.get("x-client-request-id")).toBeNull();
  });

  it("lists the models of the key, and shows one", async () => {
    const list = await ask("/v1/models?limit=1000", { method: "GET" });
    const one = await ask("/v1/models/small", { method: "GET" });
    const none = await ask("/v1/models/nope", { method: "GET" });

    expect(await list.json()).toEqual({
      object: "list",
      data: [{ id: "small", object: "model", created: 0, owned_by: "weir" }],
    });
    expect(await one.json()).toMatchObject({ id: "small", object: "model" });
    expect(none.status).toBe(404);
    expect(await none.json()).toMatchObject({ error: { code: "model_not_found" } });
  });

  it("keeps the connection after a refusal without a body, or with a small one", async () => {
    const get = `GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n`;
    const post = `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}`;

    const answers = await sendRaw(get + post + get, (received) => received.split("HTTP/1.1 401").length === 4);

    expect(answers.match(/HTTP\/1\.1 401/g)).toHaveLength(3);
  });

  it("is not ready without a snapshot, and says when to come back", async () => {
    const early = await startHarness({ providers: [], hasPolicy: false });
    try {
      const response = await fetch(`${early.url}/models`, { headers: { authorization: `Bearer ${router.key}` } });

      expect(response.status).toBe(503);
      expect(response.headers.get("retry-after")).toBe("1");
      expect(await response.json()).toMatchObject({ error: { code: "not_ready" } });
    } finally {
      await early.close();
    }
  });

  it("writes no key and no prompt into the log", async () => {
    await ask("/v1/chat/completions", { body: '{"model":"small","messages":["a secret prompt"],"n":"x"}' });

    expect(router.logLines.join("")).not.toContain(router.key);
    expect(router.logLines.join("")).not.toContain("a secret prompt");
  });
});
