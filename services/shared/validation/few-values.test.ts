import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { StructSchema } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { CompleteRequestSchema } from "../../../gen/weir/router/v1/chat_service_pb.ts";
import { MOST_VALUES, requireFewFields, requireFewJsonValues } from "./few-values.ts";

const refusal = expect.objectContaining({ reason: "BODY_TOO_LARGE" });

function verdictOf(act: () => void): unknown {
  try {
    act();
    return "good";
  } catch (error) {
    return error;
  }
}

describe("requireFewJsonValues()", () => {
  const verdict = (json: string) => verdictOf(() => requireFewJsonValues(Buffer.from(json), MOST_VALUES));

  it.each([
    ["objects", "{}"],
    ["lists", "[]"],
    ["members", '"a":1'],
  ])("counts %s up to the bound", (_, value) => {
    const of = (count: number) => Array.from({ length: count }, () => value).join(",");

    expect(verdict(of(MOST_VALUES))).toBe("good");
    expect(verdict(of(MOST_VALUES + 1))).toEqual(refusal);
  });

  it("counts nothing within texts, whatever is escaped there, and no numbers", () => {
    const text = JSON.stringify('{"a":[\\'.repeat(MOST_VALUES));

    expect(verdict(`[${text},${text},${"1,".repeat(MOST_VALUES)}1]`)).toBe("good");
  });

  it("goes on counting behind a text that ends in escaped backslashes", () => {
    expect(verdict(`["\\\\\\\\",${"{},".repeat(MOST_VALUES)}1]`)).toEqual(refusal);
  });

  it("lets a text without an end be, for its parser to refuse", () => {
    expect(verdict(`"\\${"[".repeat(2 * MOST_VALUES)}`)).toBe("good");
  });
});

describe("requireFewFields()", () => {
  const verdict = (bytes: Uint8Array, schema = CompleteRequestSchema) =>
    verdictOf(() => requireFewFields(schema, bytes, MOST_VALUES));
  const field = (number: number, value: Uint8Array) => {
    const length: number[] = [];
    for (let rest = value.length; rest > 0 || length.length === 0; rest = Math.floor(rest / 128)) {
      length.push((rest % 128) + (rest > 127 ? 128 : 0));
    }
    return Buffer.concat([Buffer.from([number * 8 + 2, ...length]), value]);
  };
  const emptyMessages = (count: number) => field(1, Buffer.alloc(2 * count, Buffer.from([0x12, 0x00])));

  it("counts messages within messages up to the bound", () => {
    // One is the input itself.
    expect(verdict(emptyMessages(MOST_VALUES - 1))).toBe("good");
    expect(verdict(emptyMessages(MOST_VALUES))).toEqual(refusal);
  });

  it("counts fields that nobody knows, as a decoder keeps each of them", () => {
    expect(verdict(Buffer.alloc(2 * MOST_VALUES + 2, Buffer.from([0x78, 0x00])))).toEqual(refusal);
  });

  it("counts what the values of a map hold", () => {
    const list = create(StructSchema, {
      fields: {
        a: { kind: { case: "listValue", value: { values: Array.from({ length: MOST_VALUES }, () => ({})) } } },
      },
    } as never);

    expect(verdict(toBinary(StructSchema, list), StructSchema as never)).toEqual(refusal);
  });

  it("counts a long text and a large picture as one each", () => {
    const request = create(CompleteRequestSchema, {
      input: {
        model: "small",
        messages: [{ blocks: [{ content: { case: "text", value: { text: "\u0012".repeat(4 << 20) } } }] }],
      },
    });

    expect(verdict(toBinary(CompleteRequestSchema, request))).toBe("good");
  });

  it("lets bytes that are no message be, for the decoder to refuse", () => {
    const bytes = Buffer.alloc(2 * MOST_VALUES + 2, 0xff);

    expect(verdict(bytes)).toBe("good");
    expect(() => fromBinary(CompleteRequestSchema, bytes)).toThrow();
  });
});
