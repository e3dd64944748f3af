// Strangers against both programs: the official `openai` client and node:http ask the provider, and servers that misbehave
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
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildNative, findCompiler, type NativePrograms } from "./build.ts";
import type { LoadReport, ProviderStats } from "./report.ts";

const PATH = "/v1/chat/completions";
const MESSAGES = [{ role: "user" as const, content: 'Say "stream":true' }];

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

  async function runLoad(at: string, ...flags: string[]): Promise<LoadReport> {
    const program = execFile(programs.load, ["--target", at, "--path", PATH, ...flags]);
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

    it("gives a unary answer of as many bytes as were asked for", async () => {
      const body = JSON.stringify({ metadata: { bench: "bytes=5000" } });
      const answer = await fetch(`http://${target}${PATH}`, { method: "POST", body });

      expect((await answer.arrayBuffer()).byteLength).toBe(5000);
    });

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

    it("counts a stream that ends without [DONE] as incomplete", async () => {
      const report = await loadAgainst(
        (_, answer) => {
          answer.writeHead(200, { "content-type": "text/event-stream" }).end('data: {"delta":{"content":"half"}}\n\n');
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
