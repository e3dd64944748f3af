import { describe, expect, it } from "vitest";
import type { RelayedRequest } from "../providers/dialect.ts";
import { FRESH, spliceModel } from "../providers/splice.ts";
import { scanRequest as scanChatCompletions } from "./chat-completions/scan.ts";
import { scanCountRequest, scanRequest as scanMessages } from "./messages/scan.ts";
import { scanRequest as scanResponses } from "./responses/scan.ts";

const read = (request: RelayedRequest) => JSON.parse(request.bytes.toString()) as Record<string, unknown>;
const text = { type: "text", text: "So" };
const MESSAGES = {
  max_tokens: 9,
  model: "small",
  messages: [
    { role: "user", content: "hi" },
    { role: "assistant", content: [{ type: "thinking", thinking: "a", signature: "~weir-google:Ab==" }] },
    {
      role: "assistant",
      content: [
        { type: "thinking", thinking: "b", signature: "~weir-signature:" },
        { type: "redacted_thinking", data: "~weir-openai:gAAA" },
        { type: "thinking", thinking: "c", signature: "EqAB" },
        text,
      ],
    },
  ],
};

describe("a request that is relayed", () => {
  it("goes without thinking that another maker's model made, and without turns of nothing else", () => {
    const { request } = scanMessages(Buffer.from(JSON.stringify(MESSAGES)));

    const { request: sent, leftOut } = request.withoutForeign!()!;

    expect(read(sent)).toEqual({
      ...MESSAGES,
      messages: [
        { role: "user", content: "hi" },
        { role: "assistant", content: [{ type: "thinking", thinking: "c", signature: "EqAB" }, text] },
      ],
    });
    expect(leftOut).toEqual(["messages[1].content[0]", "messages[2].content[0]", "messages[2].content[1]"]);
    expect(read(request)).toEqual(MESSAGES);
  });

  it("is asked to be counted in the same words", () => {
    const { request } = scanCountRequest(Buffer.from(JSON.stringify(MESSAGES)));

    expect(request.withoutForeign!()!.request.format).toBe("count-tokens");
  });

  it("goes without details of reasoning that Weir wrote, and with those of a server of its format", () => {
    const own = { role: "assistant", content: "a", reasoning_details: [{ type: "reasoning.text", signature: "s" }] };
    const marked = { type: "reasoning.text", text: "t", signature: "~weir-signature:EqAB" };
    const written = { role: "assistant", content: "b", reasoning_content: "t", reasoning_details: [marked] };
    const body = { messages: [own, written], stream: true, model: "small", stream_options: { include_usage: true } };
    const { request } = scanChatCompletions(Buffer.from(JSON.stringify(body)));

    const { request: sent, leftOut } = request.withoutForeign!()!;

    expect(read(sent)).toEqual({ ...body, messages: [own, { role: "assistant", content: "b" }] });
    expect(leftOut).toEqual(["messages[1].reasoning_details"]);
    expect(JSON.parse(sent.bytes.toString("utf8", sent.streamOptionsStart, sent.streamOptionsEnd))).toEqual({
      include_usage: true,
    });
    expect(sent.wantsUsage).toBe(true);
  });

  it("goes without items of reasoning that Weir wrote, and with those of OpenAI", () => {
    const own = { type: "reasoning", summary: [], encrypted_content: "gAAAAABo" };
    const written = { type: "reasoning", summary: [], encrypted_content: "~weir-signature:~weir-google:Ab==" };
    const body = { model: "small", input: [own, written, { role: "user", content: "hi" }] };
    const { request } = scanResponses(Buffer.from(JSON.stringify(body)));

    const { request: sent, leftOut } = request.withoutForeign!()!;

    expect(read(sent)).toEqual({ ...body, input: [own, { role: "user", content: "hi" }] });
    expect(leftOut).toEqual(["input[1]"]);
  });

  it("keeps the digits of its numbers, and takes another model in its place", () => {
    const input = '"input":{"id":12345678901234567890,"x":1.0}';
    const marked = '{"type":"thinking","thinking":"","signature":"~weir-google:Ab=="}';
    const body = `{"messages":[{"role":"assistant","content":[${marked},{"type":"tool_use","id":"t","name":"f",${input}}]}],"max_tokens":9,"model":"gröss"}`;
    const { request } = scanMessages(Buffer.from(body));

    const { request: sent } = request.withoutForeign!()!;

    expect(sent.bytes.toString()).toContain(input);
    expect(JSON.parse(spliceModel(sent, "a-much-longer-model", FRESH).toString()).model).toBe("a-much-longer-model");
  });

  it.each([
    ["bears no mark", { ...MESSAGES, messages: [{ role: "user", content: "hi" }] }],
    ["speaks of marks only", { ...MESSAGES, messages: [{ role: "user", content: "what is ~weir-google: about?" }] }],
    ["has no turns as they should be", { ...MESSAGES, messages: ["~weir-google:", null, { content: [null, 1] }] }],
  ])("stays as it came when it %s", (_how, body) => {
    const { request } = scanMessages(Buffer.from(JSON.stringify(body)));

    expect(request.withoutForeign!()).toBeUndefined();
  });
});
