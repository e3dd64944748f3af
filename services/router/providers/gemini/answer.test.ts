import { describe, expect, it } from "vitest";
import { StopReason } from "../../../../gen/weir/router/v1/chat_pb.ts";
import { Meter } from "../../../../gen/weir/type/v1/usage_pb.ts";
import { readAnswer } from "./answer.ts";
import { toTypedAnswer } from "./codec.ts";
import { gemini } from "./gemini.ts";

const toBody = (value: unknown) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value));
const ANSWER = {
  candidates: [
    {
      content: {
        parts: [
          { text: "Hm", thought: true },
          { text: "Let me", thoughtSignature: "Ab" },
          { functionCall: { name: "f", args: { a: 1 } }, thoughtSignature: "Cd" },
          { functionCall: { name: "g" } },
        ],
        role: "model",
      },
      finishReason: "STOP",
      safetyRatings: [],
    },
  ],
  usageMetadata: { promptTokenCount: 4, candidatesTokenCount: 5, totalTokenCount: 9 },
  modelVersion: "m-001",
  responseId: "r",
};

describe("an answer in one piece in the Gemini dialect", () => {
  it("is understood: its usage, and the bytes of what it says", () => {
    const { failure, quantities, textBytes } = readAnswer(toBody(ANSWER));

    expect(failure).toBeUndefined();
    expect(quantities?.get(Meter.OUTPUT_TOKENS)).toBe(5);
    expect(textBytes).toBe("HmLet me".length + '{"name":"f","args":{"a":1}}'.length + '{"name":"g"}'.length);
  });

  it("becomes blocks; uses without an id get one of their own", () => {
    const { candidates, providerModel, extras } = toTypedAnswer(toBody(ANSWER));

    const [candidate] = candidates;
    expect(candidate).toMatchObject({ index: 0, stopReason: StopReason.TOOL_USE, providerStopReason: "STOP" });
    expect(candidate!.blocks.map(({ content, extras }) => [content.case, content.value, extras])).toMatchObject([
      ["reasoning", { text: "Hm", signature: "" }, undefined],
      ["text", { text: "Let me" }, undefined],
      ["reasoning", { text: "", signature: "~weir-google:Ab" }, undefined],
      ["reasoning", { text: "", signature: "~weir-google:Cd" }, undefined],
      ["toolUse", { name: "f", inputJson: '{"a":1}' }, undefined],
      ["toolUse", { name: "g", inputJson: "{}" }, undefined],
    ]);
    const ids = candidate!.blocks.flatMap(({ content }) => (content.case === "toolUse" ? [content.value.id] : []));
    expect(new Set(ids).size).toBe(2);
    expect(ids[0]).toMatch(/^call_/);
    expect(providerModel).toBe("m-001");
    expect(extras).toEqual({ responseId: "r" });
  });

  it.each([
    ["STOP", StopReason.TOOL_USE],
    ["FUNCTION_CALL", StopReason.TOOL_USE],
    ["MAX_TOKENS", StopReason.MAX_OUTPUT_TOKENS],
    ["SAFETY", StopReason.FILTERED],
    ["MALFORMED_FUNCTION_CALL", StopReason.OTHER],
    ["toString", StopReason.OTHER],
  ])("with the use of a tool that ends by %s has the stop reason %i", (finishReason, expected) => {
    const content = { parts: [{ functionCall: { name: "f" } }] };

    const [candidate] = toTypedAnswer(toBody({ candidates: [{ content, finishReason }] })).candidates;

    expect(candidate).toMatchObject({ stopReason: expected, providerStopReason: finishReason });
  });

  it("is filtered, and no failure, when the prompt was blocked", () => {
    const body = toBody({ promptFeedback: { blockReason: "SAFETY" }, usageMetadata: { promptTokenCount: 4 } });

    const { failure, quantities } = readAnswer(body);

    expect(failure).toBeUndefined();
    expect(quantities?.get(Meter.INPUT_TOKENS)).toBe(4);
    expect(toTypedAnswer(body).candidates).toMatchObject([
      { blocks: [], stopReason: StopReason.FILTERED, providerStopReason: "SAFETY" },
    ]);
  });

  it.each(["", "[]", "{", "{}", { candidates: [] }, { candidates: 7 }, { error: { code: 500 } }])(
    "is none when it is %j, and another target is tried",
    (body) => {
      expect(readAnswer(toBody(body)).failure).toMatchObject({ reason: "PROVIDER_FAILED", elsewhere: true });
    },
  );
});

describe("gemini", () => {
  it("presents its key in a header and asks for streams as events", () => {
    const settings = { apiVersion: "", cloudRegion: "" };

    expect(gemini.composeCredential("k")).toEqual(["x-goog-api-key", "k"]);
    expect(gemini.typed.toPath({ model: "gemini-2.5-pro", streamed: false, settings })).toBe(
      "/models/gemini-2.5-pro:generateContent",
    );
    expect(gemini.typed.toPath({ model: "tunedModels/a b?", streamed: true, settings })).toBe(
      "/tunedModels/a%20b%3F:streamGenerateContent?alt=sse",
    );
  });
});
