import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { EmbeddingInputSchema } from "../../../../gen/weir/router/v1/embedding_service_pb.ts";
import { Meter } from "../../../../gen/weir/type/v1/usage_pb.ts";
import { embedContents } from "./embeddings.ts";

function compose(init: MessageInitShape<typeof EmbeddingInputSchema>, model = "gemini-embedding-001") {
  const lost: string[] = [];
  const lose = (field: string) => void lost.push(field);
  const input = create(EmbeddingInputSchema, init);
  const body = embedContents.composeTyped(input, { model, streamed: false, maxOutputTokens: 1n, lose, leaveOut: lose });
  return { body: JSON.parse(body.toString()), lost };
}

const text = (value: string) => ({ content: { case: "text" as const, value } });
const toBody = (value: unknown) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value));

describe("embeddings in the Gemini dialect", () => {
  it("are asked for in one batch, each request with what all share", () => {
    const { body, lost } = compose({
      items: [text("a"), text("b")],
      dimensions: 256,
      endUser: "u",
      extras: { taskType: "RETRIEVAL_QUERY", input_type: "query", title: null },
    });

    const common = { model: "models/gemini-embedding-001", outputDimensionality: 256, taskType: "RETRIEVAL_QUERY" };
    expect(body).toEqual({
      requests: [
        { ...common, content: { parts: [{ text: "a" }] } },
        { ...common, content: { parts: [{ text: "b" }] } },
      ],
    });
    expect(lost.sort()).toEqual(["end_user", 'extras["input_type"]']);
    const settings = { apiVersion: "", cloudRegion: "" };
    expect(embedContents.toPath({ model: "gemini-embedding-001", streamed: false, settings })).toBe(
      "/models/gemini-embedding-001:batchEmbedContents",
    );
  });

  it("are refused for tokens whatever the policy lets drop, since the vectors would be those of other items", () => {
    const tokens = { content: { case: "tokens" as const, value: { ids: [1] } } };

    expect(() => compose({ items: [text("a"), tokens] })).toThrow(/"input.items\[1\]" is made of tokens/);
  });

  it("are understood, with what they used", () => {
    const body = toBody({
      embeddings: [{ values: [0.25, -1] }, { values: [0, 0.1] }],
      usageMetadata: { promptTokenCount: 7 },
    });

    const { failure, quantities, textBytes } = embedContents.readAnswer(body);
    const { embeddings, candidates } = embedContents.toTypedAnswer(body);

    expect(failure).toBeUndefined();
    expect([...(quantities ?? [])]).toEqual([[Meter.INPUT_TOKENS, 7]]);
    expect(textBytes).toBe(0);
    expect(embeddings).toMatchObject([
      { index: 0, values: [0.25, -1] },
      { index: 1, values: [0, 0.1] },
    ]);
    expect(candidates).toEqual([]);
  });

  it("say nothing of their usage where older models give none", () => {
    const reading = embedContents.readAnswer(toBody({ embeddings: [{ values: [1] }] }));

    expect(reading).toEqual({ textBytes: 0 });
  });

  it.each([
    "",
    "[]",
    "{}",
    { embeddings: [] },
    { embeddings: [{}] },
    { embeddings: [{ values: [] }] },
    { embeddings: [{ values: [1, null] }] },
    { embeddings: [{ values: [1] }, { values: ["x"] }] },
    '{"embeddings":[{"values":[1e999]}]}',
    { error: { code: 500 } },
  ])("are none when the answer is %j, and another target is tried", (body) => {
    expect(embedContents.readAnswer(toBody(body)).failure).toMatchObject({
      reason: "PROVIDER_FAILED",
      elsewhere: true,
    });
  });
});
