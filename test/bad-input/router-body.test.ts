// Nonsense in the body of a chat, on both surfaces of a router's port for callers. The OpenAI surface refuses what it must read
// (the frame, UTF-8, depth, the fields it acts upon) and leaves the rest to the provider; ChatService refuses all that its proto does
// not allow.
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Mesh, startMesh } from "../mesh.ts";
import { sendRaw } from "./raw.ts";

let mesh: Mesh;
let pid: number;

beforeAll(async () => {
  mesh = await startMesh({ name: "bad-body", settings: { "router-eu": { WEIR_BODY_LIMIT: "256KiB" } } });
  pid = mesh.processes["router-eu"].pid;
});

afterAll(() => mesh?.stop());

afterEach(async () => {
  const response = await post('{"model":"small","messages":[{"role":"user","content":"hello"}]}');
  expect([response.status, mesh.processes["router-eu"].pid]).toEqual([200, pid]);
});

function post(body: string | Buffer, path = "/v1/chat/completions"): Promise<Response> {
  return fetch(mesh.routerUrl("eu") + path, {
    method: "POST",
    body: new Uint8Array(Buffer.from(body)),
    headers: { authorization: `Bearer ${mesh.key}`, "content-type": "application/json" },
  });
}

async function expectOpenAiError(response: Response, status: number): Promise<string> {
  const text = await response.text();
  expect({ status: response.status, body: text.slice(0, 500) }).toMatchObject({ status });
  expect(JSON.parse(text)).toMatchObject({
    error: {
      message: expect.stringMatching(/[a-z]{3}/),
      type: expect.stringMatching(/./),
      code: expect.stringMatching(/./),
    },
  });
  return text;
}

const START = '"messages":[{"role":"user","content":"hello"}]';
const DEEP_ARRAY = `${"[".repeat(50_000)}${"]".repeat(50_000)}`;
const DEEP_OBJECT = `${'{"a":'.repeat(20_000)}1${"}".repeat(20_000)}`;

describe("a body that is no JSON", () => {
  it.each([
    ["empty", ""],
    ["cut", '{"model":"small","messages":['],
    ["with something after its end", `{"model":"small",${START}} x`],
    ["two documents", `{"model":"small",${START}}{"model":"small",${START}}`],
    ["with a comma too many", `{"model":"small",${START},}`],
    ["with a comment", `{"model":"small",/* x */${START}}`],
    ["with single quotes", "{'model':'small'}"],
    ["with NaN", `{"model":"small",${START},"temperature":NaN}`],
    ["with a raw newline in a string", '{"model":"small","messages":[{"role":"user","content":"a\nb"}]}'],
    ["with a raw NUL", Buffer.from(`{"model":"sm\0all",${START}}`)],
    ["with a byte order mark", `\uFEFF{"model":"small",${START}}`],
    ["in UTF-16", Buffer.from(`{"model":"small",${START}}`, "utf16le")],
    ["with bytes that are not UTF-8", Buffer.from(`{"model":"small","user":"\xff\xfe",${START}}`, "latin1")],
    [
      "with an overlong encoding",
      Buffer.from([...Buffer.from(`{"model":"small","user":"`), 0xc0, 0xaf, ...Buffer.from(`",${START}}`)]),
    ],
    ["nested 50,000 arrays deep", `{"model":"small","messages":${DEEP_ARRAY}}`],
    ["nested 20,000 objects deep", `{"model":"small","messages":[${DEEP_OBJECT}]}`],
    ["an array", "[]"],
    ["a string", '"small"'],
    ["null", "null"],
  ])("%s is 400", async (_, body) => {
    await expectOpenAiError(await post(body), 400);
  });
});

describe("a field of the wrong type", () => {
  it.each([
    ["no model", `{${START}}`],
    ["a model that is a number", `{"model":1,${START}}`],
    ["a model that is null", `{"model":null,${START}}`],
    ["a model that is an object", `{"model":{"a":1},${START}}`],
    ["an empty model", `{"model":"",${START}}`],
    ["a model in another case", `{"Model":"small",${START}}`],
    ["two models", `{"model":"small","model":"large",${START}}`],
    ["two models, one written in escapes", `{"model":"small","mod\\u0065l":"large",${START}}`],
    ["stream that is a string", `{"model":"small","stream":"true",${START}}`],
    ["stream twice", `{"model":"small","stream":false,"stream":true,${START}}`],
    ["stream options that are a string", `{"model":"small","stream":true,"stream_options":"yes",${START}}`],
    ["a cap that is a string", `{"model":"small","max_tokens":"100",${START}}`],
    ["a cap below zero", `{"model":"small","max_tokens":-1,${START}}`],
    ["a cap with a fraction", `{"model":"small","max_completion_tokens":1.5,${START}}`],
    ["a cap beyond all numbers", `{"model":"small","max_tokens":1e400,${START}}`],
    ["a count of answers that is a string", `{"model":"small","n":"2",${START}}`],
    ["a count of answers below one", `{"model":"small","n":0,${START}}`],
  ])("%s is 400", async (_, body) => {
    await expectOpenAiError(await post(body), 400);
  });

  it("the message says which field it is", async () => {
    const text = await expectOpenAiError(await post(`{"model":"small","max_tokens":"100",${START}}`), 400);

    expect(text).toContain("max_tokens");
  });
});

describe("an unknown model", () => {
  it.each([
    "no-such-model",
    "SMALL",
    "small ",
    "../small",
    "__proto__",
    "constructor",
    "small\\u0000",
    "x".repeat(200),
  ])("%s is 404 or 400", async (model) => {
    const response = await post(`{"model":"${model}",${START}}`);

    expect([400, 404]).toContain(response.status);
    await expectOpenAiError(response, response.status);
  });

  it("of 100 kB is not repeated in the error", async () => {
    const response = await post(`{"model":"${"x".repeat(100_000)}",${START}}`);

    const text = await expectOpenAiError(response, response.status);
    expect([400, 404]).toContain(response.status);
    expect(text.length).toBeLessThan(4_096);
  });
});

describe("a body over the limit", () => {
  const large = `{"model":"small","messages":[{"role":"user","content":"${"x".repeat(300 << 10)}"}]}`;

  it("is 413", async () => {
    await expectOpenAiError(await post(large), 413);
  });

  it("is 413 also when it does not say its length", async () => {
    const head = `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${mesh.key}\r\nconnection: close\r\n`;
    const body = `${large.length.toString(16)}\r\n${large}\r\n0\r\n\r\n`;

    const answer = await sendRaw(
      mesh.routerUrl("eu"),
      `${head}content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n${body}`,
    );

    expect(answer.status).toBe(413);
  });

  it("is 413 by its length alone, at the default limit of 32 MiB", async () => {
    const head = `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${mesh.key}\r\nconnection: close\r\n`;

    const answer = await sendRaw(
      mesh.routerUrl("us"),
      `${head}content-type: application/json\r\ncontent-length: ${(32 << 20) + 1}\r\n\r\n`,
    );

    expect(answer.status).toBe(413);
  });

  it("just below it is served", async () => {
    const response = await post(`{"model":"small","messages":[{"role":"user","content":"${"x".repeat(250 << 10)}"}]}`);

    expect(response.status).toBe(200);
  });
});

describe("what only the provider judges", () => {
  it.each([
    ["fields nobody knows", `{"model":"small",${START},"__proto__":{"a":1},"x_new":{"deep":[1,2,{"a":null}]}}`],
    ["NUL in escapes within content", '{"model":"small","messages":[{"role":"user","content":"a\\u0000b"}]}'],
    [
      "words of our wire within content",
      '{"model":"small","messages":[{"role":"user","content":"data: [DONE]\\n\\n<|endoftext|>"}]}',
    ],
  ])("%s goes through", async (_, body) => {
    const response = await post(body);

    expect(response.status).toBe(200);
  });
});

describe("ChatService", () => {
  const PATH = "/weir.router.v1.ChatService/Complete";
  const message = '{"role":"ROLE_USER","blocks":[{"text":{"text":"hello"}}]}';

  it.each([
    ["empty", ""],
    ["cut", '{"input":{"model"'],
    ["without input", "{}"],
    ["with a field nobody knows", `{"input":{"model":"small","messages":[${message}],"maxTokens":5}}`],
    ["with a role nobody knows", '{"input":{"model":"small","messages":[{"role":"ROLE_POPE","blocks":[]}]}}'],
    ["with a role left open", '{"input":{"model":"small","messages":[{"blocks":[{"text":{"text":"hello"}}]}]}}'],
    ["without messages", '{"input":{"model":"small","messages":[]}}'],
    ["with a model of the wrong type", `{"input":{"model":1,"messages":[${message}]}}`],
    ["with a cap below one", `{"input":{"model":"small","messages":[${message}],"maxOutputTokens":"0"}}`],
    ["with NUL in its model", `{"input":{"model":"small\\u0000","messages":[${message}]}}`],
    ["with bytes that are not UTF-8", Buffer.from(`{"input":{"model":"\xff","messages":[${message}]}}`, "latin1")],
    ["nested 20,000 objects deep", `{"input":{"extras":${DEEP_OBJECT}}}`],
  ])("a request %s is INVALID_ARGUMENT", async (_, body) => {
    const response = await post(body, PATH);

    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({
      code: "invalid_argument",
      message: expect.stringMatching(/[a-z]{3}/),
    });
  });

  it("an unknown model is NOT_FOUND", async () => {
    const response = await post(`{"input":{"model":"no-such-model","messages":[${message}]}}`, PATH);

    expect([response.status, await response.json()]).toMatchObject([404, { code: "not_found" }]);
  });

  it("a request over the limit is RESOURCE_EXHAUSTED", async () => {
    const text = "x".repeat(300 << 10);

    const response = await post(
      `{"input":{"model":"small","messages":[{"role":"ROLE_USER","blocks":[{"text":{"text":"${text}"}}]}]}}`,
      PATH,
    );

    expect(await response.json()).toMatchObject({ code: "resource_exhausted" });
  });
});
