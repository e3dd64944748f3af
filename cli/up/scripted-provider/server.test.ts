import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createScriptedProvider } from "./server.ts";

let server: Server;
let url: string;

beforeEach(async () => {
  server = createScriptedProvider();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterEach(() => {
  server.closeAllConnections();
  server.close();
});

function ask(model: string, more: object = {}): Promise<Response> {
  return fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    body: JSON.stringify({ model, messages: [{ role: "user", content: "Hello" }], ...more }),
  });
}

async function readBill(): Promise<{ calls: { id: string; status: string; completionTokens: number }[] }> {
  return (await fetch(`${url}/bill`)).json() as ReturnType<typeof readBill>;
}

describe("the scripted provider", () => {
  it("answers any model in the OpenAI format, says that it is scripted, and bills what it said", async () => {
    const response = await ask("gpt-like");
    const completion = (await response.json()) as { id: string; usage: { completion_tokens: number } };

    expect(response.headers.get("x-weir-scripted")).toBe("true");
    expect(JSON.stringify(completion)).toContain("This is a scripted answer");
    const { calls } = await readBill();
    expect(calls).toMatchObject([
      { id: completion.id, status: "answered", completionTokens: completion.usage.completion_tokens },
    ]);
  });

  it("streams role, pieces, finish, usage if asked, and [DONE]", async () => {
    const text = await (await ask("scripted", { stream: true, stream_options: { include_usage: true } })).text();
    const events = text.trim().split("\n\n");

    expect(events.at(-1)).toBe("data: [DONE]");
    expect(JSON.parse(events.at(-2)!.slice(6))).toMatchObject({ choices: [], usage: { prompt_tokens: 9 } });
    expect(JSON.parse(events.at(-3)!.slice(6)).choices[0].finish_reason).toBe("stop");
    expect(events).toHaveLength(1 + 4 + 1 + 1 + 1);
  });

  it("sends no usage event to a stream that did not ask", async () => {
    const text = await (await ask("scripted", { stream: true })).text();

    expect(text).not.toContain("usage");
  });

  it("cuts a stream in the middle and bills the tokens that went out", async () => {
    const response = await ask("scripted-cut", { stream: true });

    await expect(response.text()).rejects.toThrow();
    const { calls } = await readBill();
    expect(calls).toMatchObject([{ status: "cut" }]);
    expect(calls[0]?.completionTokens).toBeGreaterThan(0);
  });

  it("fails with the status, code and retry-after of its script", async () => {
    const response = await ask("scripted-rate-limited");

    expect(response.status).toBe(429);
    expect(response.headers.get("retry-after")).toBe("7");
    expect(await response.json()).toMatchObject({ error: { code: "rate_limit_exceeded" } });
  });

  it("holds a stream until it is released", async () => {
    const response = await ask("scripted-hold", { stream: true });
    const reader = response.body!.getReader();
    await reader.read();
    await fetch(`${url}/release`, { method: "POST" });

    let text = "";
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      text += Buffer.from(part.value).toString();
      await fetch(`${url}/release`, { method: "POST" });
    }
    expect(text).toContain("[DONE]");
  });

  it("notes a caller that leaves", async () => {
    const controller = new AbortController();
    const response = await fetch(`${url}/v1/chat/completions`, {
      method: "POST",
      body: JSON.stringify({ model: "scripted-stall", stream: true, messages: [] }),
      signal: controller.signal,
    });
    await response.body!.getReader().read();

    controller.abort();

    await expect.poll(async () => (await readBill()).calls[0]?.status).toBe("left by caller");
  });

  it("does what a test sets for a model, until it is taken back", async () => {
    const set = (script: object | null) =>
      fetch(`${url}/script`, { method: "POST", body: JSON.stringify({ model: "x", script }) });

    await set({ status: 503 });
    expect((await ask("x")).status).toBe(503);
    await set(null);
    expect((await ask("x")).status).toBe(200);
  });
});
