import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { EmbeddingEncoding, EmbeddingInputSchema } from "../../../../gen/weir/router/v1/embedding_service_pb.ts";
import { Meter } from "../../../../gen/weir/type/v1/usage_pb.ts";
import { relayedEmbeddings, typedEmbeddings } from "./embeddings.ts";

function compose(init: MessageInitShape<typeof EmbeddingInputSchema>) {
  const lost: string[] = [];
  const lose = (field: string) => void lost.push(field);
  const input = create(EmbeddingInputSchema, init);
  const asked = { model: "text-embedding-3-small", streamed: false, maxOutputTokens: 1n, lose, leaveOut: lose };
  return { body: JSON.parse(typedEmbeddings.composeTyped(input, asked).toString()), lost };
}

const text = (value: string) => ({ content: { case: "text" as const, value } });
const tokens = (...ids: number[]) => ({ content: { case: "tokens" as const, value: { ids } } });
const toBody = (value: unknown) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value));
const toBase64 = (...values: number[]) => Buffer.from(new Float32Array(values).buffer).toString("base64");

describe("embeddings in the OpenAI dialect", () => {
  it("are asked for with all that a typed request says", () => {
    const { body, lost } = compose({
      items: [text("a"), text("b")],
      dimensions: 256,
      encoding: EmbeddingEncoding.BASE64,
      endUser: "u",
      extras: { input_type: "query", Model: "other" },
    });

    expect(body).toEqual({
      model: "text-embedding-3-small",
      input: ["a", "b"],
      encoding_format: "base64",
      dimensions: 256,
      user: "u",
      input_type: "query",
    });
    expect(lost).toEqual(['extras["Model"]']);
  });

  it("are asked for with tokens, but not with tokens beside text", () => {
    expect(compose({ items: [tokens(1, 2), tokens(3)] }).body.input).toEqual([[1, 2], [3]]);
    expect(() => compose({ items: [tokens(1), text("a")] })).toThrow(/"input.items\[1\]" is of another kind/);
  });

  it("are understood in both encodings, in the order of their items", () => {
    const body = toBody({
      object: "list",
      data: [
        { object: "embedding", index: 1, embedding: toBase64(0.5, -2) },
        { object: "embedding", index: 0, embedding: [0.1, 1] },
      ],
      model: "text-embedding-3-small",
      usage: { prompt_tokens: 8, total_tokens: 8 },
    });

    const { failure, quantities } = typedEmbeddings.readAnswer(body);
    const { embeddings, providerModel } = typedEmbeddings.toTypedAnswer(body);

    expect(failure).toBeUndefined();
    expect([...(quantities ?? [])]).toEqual([[Meter.INPUT_TOKENS, 8]]);
    expect(embeddings).toMatchObject([
      { index: 0, values: [0.1, 1] },
      { index: 1, values: [0.5, -2] },
    ]);
    expect(providerModel).toBe("text-embedding-3-small");
  });

  it.each([
    undefined,
    {},
    { prompt_tokens: 0 },
    { prompt_tokens: -1 },
    { prompt_tokens: "8" },
    { prompt_tokens: 1e12 },
  ])("say nothing of their usage when it is %j", (usage) => {
    expect(relayedEmbeddings.readAnswer(toBody({ data: [], usage }))).toEqual({ textBytes: 0 });
  });

  it.each(["", "[]", "{}", { data: {} }, { data: null }, { error: { message: "no" }, data: [] }])(
    "are none when the answer is %j, relayed or typed",
    (body) => {
      for (const format of [relayedEmbeddings, typedEmbeddings]) {
        expect(format.readAnswer(toBody(body)).failure).toMatchObject({ reason: "PROVIDER_FAILED", elsewhere: true });
      }
    },
  );

  it.each([
    { data: [] },
    { data: [{}] },
    { data: [{ embedding: "AAA=" }] },
    { data: [{ embedding: toBase64(Number.NaN) }] },
    { data: [{ embedding: [1, "2"] }] },
  ])("are no typed ones when they are %j", (body) => {
    expect(typedEmbeddings.readAnswer(toBody(body)).failure).toMatchObject({
      reason: "PROVIDER_FAILED",
      elsewhere: true,
    });
  });
});
