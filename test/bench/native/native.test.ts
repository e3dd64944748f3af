// Strangers against both programs: the official clients of OpenAI and Anthropic and node:http ask the provider, and servers that misbehave
// answer the generator. Nothing here judges how fast anything is.
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener, request } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildNative, findCompiler, type NativePrograms } from "./build.ts";
import type { LoadReport, ProviderStats } from "./report.ts";

const PATH = "/v1/chat/completions";
const MESSAGES = [{ role: "user" as const, content: 'Say "stream":true' }];
const MESSAGES_REQUEST = { model: "any", max_tokens: 1_000, messages: MESSAGES };

const compiler = findCompiler();
const name = compiler === undefined ? "native programs (skipped: no C compiler, cc or gcc)" : "native programs";

describe.skipIf(compiler === undefined)(name, () => {
  let folder: string;
  let programs: NativePrograms;
  let provider: ChildProcess;
  let target: string;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "weir-native-"));
    programs = await buildNative();
    provider = spawn(programs.provider, ["--port", "0"], { stdio: ["ignore", "pipe", "inherit"] });
    const [line] = await once(createInterface(provider.stdout!), "line");
    target = /127\.0\.0\.1:\d+/.exec(line)![0];
  });

  afterAll(() => {
    provider?.kill();
    rmSync(folder, { recursive: true });
  });

  function createClient(): OpenAI {
    return new OpenAI({ apiKey: "none", baseURL: `http://${target}/v1`, maxRetries: 0 });
  }

  async function readStats(): Promise<ProviderStats> {
    return (await (await fetch(`http://${target}/stats`)).json()) as ProviderStats;
  }

  function writeBody(body: object): string {
    const file = join(folder, `${Math.random()}.json`);
    writeFileSync(file, JSON.stringify(body));
    return file;
  }

  function createAnthropicClient(): Anthropic {
    return new Anthropic({ apiKey: "none", baseURL: `http://${target}`, maxRetries: 0 });
  }

  function runLoad(at: string, ...flags: string[]): Promise<LoadReport> {
    return runLoadOn(PATH, at, ...flags);
  }

  async function runLoadOn(path: string, at: string, ...flags: string[]): Promise<LoadReport> {
    const program = execFile(programs.load, ["--target", at, "--path", path, ...flags]);
    const [out, error] = await Promise.all([text(program.stdout!), text(program.stderr!)]);
    return out === "" ? Promise.reject(new Error(error)) : (JSON.parse(out) as LoadReport);
  }

  /** Measures a server of this test that answers each request in its own way. */
  async function loadAgainst(answer: RequestListener, ...flags: string[]): Promise<LoadReport> {
    const server = createServer(answer).listen(0, "127.0.0.1");
    await once(server, "listening");
    try {
      return await runLoad(`127.0.0.1:${(server.address() as AddressInfo).port}`, ...flags);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  }

  const SHORT = ["--mode", "closed", "--connections", "4", "--duration-ms", "100"];

  describe("provider", () => {
    it("answers the openai client with content, usage and a reason to stop", async () => {
      const answer = await createClient().chat.completions.create({ model: "any", messages: MESSAGES });

      expect(answer.choices).toMatchObject([{ finish_reason: "stop", message: { role: "assistant" } }]);
      expect(answer.usage?.total_tokens).toBe(answer.usage!.prompt_tokens + answer.usage!.completion_tokens);
    });

    it("streams to the openai client role, stamped content, a reason to stop and usage, in this order", async () => {
      const stream = await createClient().chat.completions.create({
        model: "any",
        messages: MESSAGES,
        stream: true,
        stream_options: { include_usage: true },
        metadata: { bench: "gap_us=100;events=3" },
      });
      const chunks = await Array.fromAsync(stream);

      const contents = chunks.slice(1, 4).map(({ choices }) => choices[0]?.delta.content ?? "");
      const stamps = contents.map((content) => Number(/^t=(\d{16}) /.exec(content)?.[1]));
      expect(chunks).toHaveLength(6);
      expect(chunks[0]?.choices[0]?.delta).toEqual({ role: "assistant", content: "" });
      expect(stamps).toEqual(stamps.toSorted((a, b) => a - b));
      expect(chunks[4]?.choices[0]?.finish_reason).toBe("stop");
      expect(chunks[5]?.usage).toMatchObject({ completion_tokens: 3 });
    });

    it("tells no usage to who does not ask for it", async () => {
      const body = JSON.stringify({ stream: true, metadata: { bench: "events=1;gap_us=0" } });
      const answer = await (await fetch(`http://${target}${PATH}`, { method: "POST", body })).text();

      expect(answer).not.toContain("usage");
      expect(answer.endsWith("data: [DONE]\n\n")).toBe(true);
    });

    it.each([PATH, "/v1/messages", "/v1/messages?beta=true", "/v1/responses", "/v1/embeddings"])(
      "gives an answer in one piece of as many bytes as were asked for: %s",
      async (path) => {
        const body = JSON.stringify({ metadata: { bench: "bytes=5000" } });
        const answer = await fetch(`http://${target}${path}`, { method: "POST", body });

        expect((await answer.text()).length).toBe(5000);
      },
    );

    it("answers any other path as a chat", async () => {
      const answer = await fetch(`http://${target}/v1/messages/count_tokens?path=/messages`, {
        method: "POST",
        body: "{}",
      });

      expect(await answer.json()).toMatchObject({ object: "chat.completion" });
    });

    it("answers the client of Anthropic with content, usage and a reason to stop", async () => {
      const answer = await createAnthropicClient().messages.create(MESSAGES_REQUEST);

      expect(answer).toMatchObject({ type: "message", role: "assistant", stop_reason: "end_turn" });
      expect(answer.content).toMatchObject([{ type: "text" }]);
      expect(answer.usage).toMatchObject({ input_tokens: 100, output_tokens: 201 });
    });

    it("streams to the client of Anthropic a message with stamped content, then a reason to stop and usage", async () => {
      const metadata = { bench: "gap_us=100;events=3" } as object;
      const stream = createAnthropicClient().messages.stream({ ...MESSAGES_REQUEST, metadata });
      const types: string[] = [];
      stream.on("streamEvent", ({ type }) => types.push(type));
      const answer = await stream.finalMessage();

      expect(types).toEqual([
        "message_start",
        "content_block_start",
        ...Array(3).fill("content_block_delta"),
        "content_block_stop",
        "message_delta",
        "message_stop",
      ]);
      expect(answer.content).toMatchObject([{ text: expect.stringMatching(/^(t=\d{16} river ){3}$/) }]);
      expect(answer).toMatchObject({ stop_reason: "end_turn", usage: { input_tokens: 100, output_tokens: 3 } });
    });

    it("answers a request for a response with text and usage", async () => {
      const answer = await createClient().responses.create({ model: "any", input: "Hello" });

      expect(answer).toMatchObject({ status: "completed", output_text: expect.stringContaining("river") });
      expect(answer.usage).toMatchObject({ input_tokens: 100, output_tokens: 201, total_tokens: 301 });
    });

    it.each([0, 3, 4_000])("streams a response of %i stamped deltas, and tells it whole at its end", async (count) => {
      const stream = await createClient().responses.create({
        model: "any",
        input: "Hello",
        stream: true,
        metadata: { bench: `gap_us=0;events=${count}` },
      });
      const events = await Array.fromAsync(stream);

      expect(events.map((event) => event.type)).toEqual([
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        ...Array(count).fill("response.output_text.delta"),
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
      ]);
      expect(events.map((event) => event.sequence_number)).toEqual(events.map((_, index) => index));
      expect(events.filter((event) => event.type === "response.output_text.delta").map(({ delta }) => delta)).toEqual(
        Array(count).fill(expect.stringMatching(/^t=\d{16} river $/)),
      );
      expect(events.at(-1)).toMatchObject({
        response: { status: "completed", usage: { input_tokens: 100, output_tokens: count } },
      });
    });

    it.each(["bytes=1", "bytes=1000", "bytes=1001", "bytes=1007", "bytes=20000"])(
      "answers a request for embeddings with one vector, though it says that it wants a stream: %s",
      async (bench) => {
        const body = JSON.stringify({ model: "any", input: "Hello", stream: true, metadata: { bench } });
        const answer = await (await fetch(`http://${target}/v1/embeddings`, { method: "POST", body })).json();

        const { data, usage } = answer as OpenAI.CreateEmbeddingResponse;
        expect(data).toHaveLength(1);
        expect(data[0]!.embedding.every((number) => number > 0.01 && number < 0.02)).toBe(true);
        expect(usage).toEqual({ prompt_tokens: 100, total_tokens: 100 });
      },
    );

    it("understands a body in chunks, wherever it is cut", async () => {
      const body = '{ "metadata": { "bench" : "events=2;gap_us=0" },\n"stream" :\ttrue }';
      const call = request(`http://${target}${PATH}`, { method: "POST" });
      const answered = once(call, "response");
      for (const character of body) call.write(character);
      call.end();

      const [answer] = await answered;
      expect((await text(answer)).match(/"t=/g)).toHaveLength(2);
    });

    it("is not misled by what a prompt quotes", async () => {
      const body = JSON.stringify({ messages: MESSAGES, note: "stream", true: true });
      const answer = await fetch(`http://${target}${PATH}`, { method: "POST", body });

      expect(answer.headers.get("content-type")).toBe("application/json");
    });

    it("refuses a setting that it does not know", async () => {
      const body = JSON.stringify({ metadata: { bench: "event=2" } });
      expect((await fetch(`http://${target}${PATH}`, { method: "POST", body })).status).toBe(400);
    });

    it("counts a client that leaves a stream as aborted", async () => {
      const { aborted } = await readStats();
      const leaving = new AbortController();
      const body = JSON.stringify({ stream: true, metadata: { bench: "events=9;gap_us=3600000000" } });
      await fetch(`http://${target}${PATH}`, { method: "POST", body, signal: leaving.signal });

      leaving.abort();

      await expect.poll(async () => (await readStats()).aborted, { timeout: 10_000 }).toBe(aborted + 1);
      expect((await readStats()).open).toBe(0);
    });

    it("refuses to start on a port that is taken, and says so", async () => {
      const second = spawn(programs.provider, ["--port", target.split(":")[1]!]);
      const [[status], error] = await Promise.all([once(second, "exit"), text(second.stderr)]);

      expect(status).toBe(1);
      expect(error).toContain(`Cannot listen on ${target}`);
    });
  });

  describe("load generator", () => {
    it("counts the requests, streams and events that the provider counts", async () => {
      const before = await readStats();
      const bodies = [{ note: "unary" }, { stream: true, metadata: { bench: "events=5;gap_us=10" } }].map(writeBody);
      const report = await runLoad(target, ...SHORT, ...bodies.flatMap((file) => ["--body", file]));
      const after = await readStats();

      expect(report.requests).toBeGreaterThan(0);
      expect(report.requests).toBe(after.requests - before.requests);
      expect(report.events).toBe(after.events - before.events);
      expect(report.firstEventMicros.count).toBe(after.streams - before.streams);
      expect(report).toMatchObject({ unfinished: 0, connectionsOpened: 4, errors: { incomplete: 0, reset: 0 } });
    });

    it.each(["/v1/messages", "/v1/responses"])(
      "counts streams of other formats and their events alike: %s",
      async (path) => {
        const before = await readStats();
        const body = writeBody({ stream: true, metadata: { bench: "events=5;gap_us=10" } });
        const report = await runLoadOn(path, target, ...SHORT, "--body", body);
        const after = await readStats();

        expect(report.requests).toBeGreaterThan(0);
        expect(report.requests).toBe(after.streams - before.streams);
        expect(report.events).toBe(after.events - before.events);
        expect(report.eventDelayMicros.count).toBe(report.events);
        expect(report.errors).toMatchObject({ incomplete: 0, reset: 0 });
      },
    );

    it("starts as many requests in an open loop as the seeded arrivals say, each time", async () => {
      const flags = ["--mode", "open", "--rate", "1000", "--duration-ms", "100", "--body", writeBody({})];
      const reports = [await runLoad(target, ...flags), await runLoad(target, ...flags)];

      expect(reports[0]!.requests).toBeGreaterThan(0);
      expect(reports[1]!.requests).toBe(reports[0]!.requests);
    });

    it("holds streams open until the time is over", async () => {
      const body = writeBody({ stream: true, metadata: { bench: "events=9;gap_us=3600000000" } });
      const report = await runLoad(target, "--mode", "hold", "--streams", "20", "--duration-ms", "300", "--body", body);

      expect(report).toMatchObject({ unfinished: 20, requests: 0, connectionsOpened: 20 });
    });

    it("sends each of the rotated values in turn", async () => {
      const seen: unknown[] = [];
      const keys = ["Bearer a", "Bearer b", "Bearer c"];
      const file = join(folder, "keys");
      writeFileSync(file, keys.join("\n"));
      const single = ["--mode", "closed", "--connections", "1", "--duration-ms", "100"];
      await loadAgainst(
        ({ headers }, answer) => {
          seen.push(headers.authorization);
          answer.end("{}");
        },
        ...single,
        "--rotate-header",
        "authorization",
        file,
      );

      expect(seen.length).toBeGreaterThan(0);
      expect(seen).toEqual(seen.map((_, index) => keys[index % keys.length]));
    });

    it("counts an answer of another status as an error", async () => {
      const report = await loadAgainst((_, answer) => answer.writeHead(503).end("{}"), ...SHORT);

      expect(report.requests).toBe(0);
      expect(report.errors.status["503"]).toBeGreaterThan(0);
    });

    it.each([
      '{"delta":{"content":"half"}}',
      '{"type": "content_block_delta","index":0,"delta":{"type":"text_delta","text":"half"}}',
      '{"type":"response.output_text.delta","delta":"half"}',
    ])("counts a stream that ends without its mark as incomplete, and its content all the same: %s", async (data) => {
      const report = await loadAgainst(
        (_, answer) => {
          answer.writeHead(200, { "content-type": "text/event-stream" }).end(`data: ${data}\n\n`);
        },
        ...SHORT,
      );

      expect(report.requests).toBe(0);
      expect(report.errors.incomplete).toBeGreaterThan(0);
      expect(report.events).toBe(report.errors.incomplete);
    });

    it("counts an answer that is cut in its middle as incomplete, and a silent close as reset", async () => {
      const cut = await loadAgainst(
        (_, answer) => {
          answer.writeHead(200, { "content-length": "10" }).write("half", () => answer.destroy());
        },
        ...SHORT,
      );
      const silent = await loadAgainst(({ socket }) => socket.destroy(), ...SHORT);

      expect(cut).toMatchObject({ requests: 0, errors: { reset: 0 } });
      expect(cut.errors.incomplete).toBeGreaterThan(0);
      expect(silent).toMatchObject({ requests: 0, errors: { incomplete: 0 } });
      expect(silent.errors.reset).toBeGreaterThan(0);
    });

    it("gives up a request at its deadline", async () => {
      const report = await loadAgainst(() => undefined, ...SHORT, "--timeout-ms", "20");

      expect(report.requests).toBe(0);
      expect(report.errors.timeout).toBeGreaterThan(0);
    });

    it("does not start without a target that listens, or with words that it does not know", async () => {
      const server = createServer().listen(0, "127.0.0.1");
      await once(server, "listening");
      const { port } = server.address() as AddressInfo;
      server.close();
      await once(server, "close");

      await expect(runLoad(`127.0.0.1:${port}`, ...SHORT)).rejects.toThrow("Cannot connect");
      await expect(runLoad(target, ...SHORT, "--fast", "yes")).rejects.toThrow('Cannot use "--fast"');
    });
  });
});
