import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ChatInputSchema } from "../../../gen/weir/router/v1/chat_pb.ts";
import { CompleteRequestSchema } from "../../../gen/weir/router/v1/chat_service_pb.ts";
import { WeirError } from "../errors/weir-error.ts";
import { createRequestCheck } from "./check-request.ts";
import { createMessageCheck } from "./validate.ts";

const check = createRequestCheck(CompleteRequestSchema);
const checkByLibrary = createMessageCheck();

type Input = MessageInitShape<typeof ChatInputSchema>;

const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined, freq: 2 });
/** Mostly good, at times at or beyond a bound. */
const texts = fc.oneof(
  { arbitrary: fc.constantFrom("a", "small", "é日"), weight: 25 },
  fc.constantFrom(
    "",
    "a\0b",
    "x".repeat(32),
    "x".repeat(33),
    "x".repeat(256),
    "x".repeat(257),
    "日".repeat(43),
    "日".repeat(86),
  ),
);
const doubles = fc.oneof(
  { arbitrary: fc.constantFrom(0.7, 1, 0), weight: 25 },
  fc.constantFrom(
    -0.1,
    2,
    2.1,
    -2,
    -2.1,
    100,
    100.1,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    -0,
  ),
);
const longs = fc.oneof({ arbitrary: fc.constantFrom(1n, 7n), weight: 15 }, fc.constantFrom(0n, -1n, 2n ** 63n - 1n));
const enums = fc.oneof({ arbitrary: fc.integer({ min: 1, max: 3 }), weight: 25 }, fc.constantFrom(0, 4, 5, 6, -1));
const bytes = fc.uint8Array({ maxLength: 4 });
const extras = maybe(fc.constantFrom({}, { a: 1 }, { a: "b" }, { deep: [null, { c: "d" }] }, { deep: ["b\0"] }));

const source = fc.oneof(
  { arbitrary: bytes.map((value) => ({ case: "content" as const, value })), weight: 2 },
  texts.map((value) => ({ case: "url" as const, value })),
  fc.constant({ case: "url" as const, value: "x".repeat(8193) }),
  fc.constant({ case: undefined }),
);
const { block } = fc.letrec<{ block: NonNullable<NonNullable<Input["messages"]>[number]["blocks"]>[number] }>(
  (tie) => ({
    block: fc.record({
      content: fc.oneof(
        { depthSize: "small", withCrossShrink: true },
        { arbitrary: texts.map((text) => ({ case: "text" as const, value: { text } })), weight: 15 },
        fc.record({ source, mediaType: texts, detail: texts }).map((value) => ({ case: "image" as const, value })),
        fc.record({ source, mediaType: texts, filename: texts }).map((value) => ({ case: "file" as const, value })),
        fc.record({ id: texts, name: texts, inputJson: texts }).map((value) => ({ case: "toolUse" as const, value })),
        fc.constant({ case: undefined }),
        fc
          .record({ toolUseId: texts, blocks: fc.array(tie("block"), { maxLength: 2 }) })
          .map((value) => ({ case: "toolResult" as const, value })),
      ),
      extras,
    }) as never,
  }),
);
const toolChoice = fc.oneof(
  enums.map((value) => ({ choice: { case: "mode" as const, value } })),
  texts.map((value) => ({ choice: { case: "tool" as const, value } })),
  fc.constant({}),
);
const sampling = fc.record({
  temperature: maybe(doubles),
  topP: maybe(doubles),
  topK: maybe(longs),
  stopSequences: fc.oneof(
    { arbitrary: fc.array(texts, { maxLength: 2 }), weight: 5 },
    fc.constantFrom(Array(64).fill("a"), Array(65).fill("a")),
  ),
  seed: maybe(longs),
  frequencyPenalty: maybe(doubles),
});
const inputs = fc.record({
  model: texts,
  messages: fc.oneof(
    {
      arbitrary: fc.array(fc.record({ role: enums, blocks: fc.array(block, { maxLength: 2 }), name: texts, extras }), {
        minLength: 1,
        maxLength: 2,
      }),
      weight: 25,
    },
    fc.constant([]),
  ),
  tools: fc.oneof(
    { arbitrary: fc.constant([]), weight: 3 },
    fc.array(fc.record({ name: texts, extras }), { maxLength: 2 }),
  ),
  toolChoice: maybe(toolChoice),
  responseFormat: maybe(fc.constantFrom({}, { form: { case: "jsonObject" as const, value: {} } })),
  maxOutputTokens: maybe(longs),
  sampling: maybe(sampling),
  reasoning: maybe(fc.record({ effort: texts, maxTokens: longs })),
  candidates: fc.oneof({ arbitrary: fc.constantFrom(0, 1), weight: 25 }, fc.constantFrom(-1, 128, 129)),
  endUser: texts,
  extras,
});

function verdictOf(act: () => void): unknown {
  try {
    act();
    return "good";
  } catch (error) {
    return error instanceof WeirError ? [error.reason, error.message, error.violations] : error;
  }
}

describe("createRequestCheck()", () => {
  it("says of any request what protovalidate and the look for NUL say, in their words", () => {
    const counts = { good: 0, bad: 0 };
    fc.assert(
      fc.property(maybe(inputs), (input) => {
        const request = create(CompleteRequestSchema, (input === undefined ? {} : { input }) as never);
        const encoded = Buffer.from(toBinary(CompleteRequestSchema, request));

        const verdict = verdictOf(() => check(request, encoded));

        counts[verdict === "good" ? "good" : "bad"] += 1;
        expect(verdict).toEqual(verdictOf(() => checkByLibrary(CompleteRequestSchema, request)));
      }),
      { numRuns: 2_000 },
    );
    // Both were tried often, else the property would say little.
    expect(Math.min(counts.good, counts.bad)).toBeGreaterThan(100);
  });
});
