import { afterEach, describe, expect, it } from "vitest";
import { type Harness, startHarness, startProvider } from "./harness.fixture.ts";

const closing: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const part of closing.splice(0).reverse()) await part.close();
});

/** Starts a router whose key may offer the tool "search" and no other, and its provider. */
async function start() {
  const provider = await startProvider((response) => {
    response.writeHead(200, { "content-type": "application/json" });
    response.end('{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}');
  });
  const router = await startHarness({ providers: [provider.url], grant: { tools: { names: ["search"] } } });
  closing.push(provider, router);
  return { provider, router };
}

async function ask(router: Harness, tools: string) {
  const response = await fetch(`${router.url}/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${router.key}`, "content-type": "application/json" },
    body: `{"model":"small","messages":[{"role":"user","content":"hi"}]${tools}}`,
  });
  await response.arrayBuffer();
  return [response.status, response.headers.get("x-weir-reason")];
}

const tool = (name: string) => `{"type":"function","function":{"name":"${name}"}}`;

describe("a key whose tools are limited", () => {
  it("asks with those tools and without any, and with no other; what is refused reaches no provider and is counted for the key", async () => {
    const { provider, router } = await start();

    expect(await ask(router, "")).toEqual([200, null]);
    expect(await ask(router, `,"tools":[${tool("search")}]`)).toEqual([200, null]);
    expect(await ask(router, `,"tools":[${tool("search")},${tool("shell")}]`)).toEqual([403, "TOOL_NOT_ALLOWED"]);
    expect(await ask(router, `,"functions":[{"name":"shell"}]`)).toEqual([403, "TOOL_NOT_ALLOWED"]);
    expect(await ask(router, `,"tools":[],"tools":[${tool("shell")}]`)).toEqual([400, "ARGUMENT_INVALID"]);

    expect(provider.requests).toHaveLength(2);
    expect(router.accounting.refusals).toMatchObject([
      { reason: "TOOL_NOT_ALLOWED", caller: { identity: { value: router.keyId } }, facts: { tool: "shell" } },
      { reason: "TOOL_NOT_ALLOWED" },
    ]);
  });
});
