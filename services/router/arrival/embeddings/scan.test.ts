import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { WeirError } from "../../../shared/errors/weir-error.ts";
import { base64Embeddings, floatEmbeddings } from "./embeddings.ts";
import { scanRequest } from "./scan.ts";

const scan = (body: unknown) => scanRequest(Buffer.from(typeof body === "string" ? body : JSON.stringify(body)));

/** Field and state of a refusal. */
function refusalOf(body: unknown): string {
  try {
    scan(body);
  } catch (error) {
    if (error instanceof WeirError) return `${error.reason} ${error.facts.field ?? ""}`.trim();
    throw error;
  }
  return "none";
}

describe("scanRequest() of embeddings", () => {
  it("reads the model, who it is for, and how vectors shall be written", () => {
    const scanned = scan({ input: "a", model: "m", encoding_format: "base64", dimensions: 8, user: "u", other: [1] });

    expect(scanned).toMatchObject({ model: "m", endUser: "u", candidates: 1, maxOutputTokens: 0n });
    expect(scanned.format).toBe(base64Embeddings);
    expect(scan({ input: "a", model: "m" }).format).toBe(floatEmbeddings);
  });

  it("takes each of the four kinds of input, as they may be written, and makes typed items of them", () => {
    const kinds = [
      ["a", [["text", "a"]]],
      [
        ["a", 'b"]', "\\", '\\"'],
        [
          ["text", "a"],
          ["text", 'b"]'],
          ["text", "\\"],
          ["text", '\\"'],
        ],
      ],
      [[1, 4294967295], [["tokens", [1, 4294967295]]]],
      [
        [[1, 2], [0]],
        [
          ["tokens", [1, 2]],
          ["tokens", [0]],
        ],
      ],
    ] as const;

    for (const [input, expected] of kinds) {
      const typed = scan(JSON.stringify({ model: "m", input, x: 1 }, null, 2)).request.toInput();
      if (typed.$typeName !== "weir.router.v1.EmbeddingInput") throw new Error("not of embeddings");

      const items = typed.items.map(({ content }) => [
        content.case,
        content.case === "tokens" ? content.value.ids : content.value,
      ]);
      expect(items).toEqual(expected);
      expect(typed.extras).toEqual({ x: 1 });
    }
  });

  it.each([
    [{ model: "m" }, "ARGUMENT_INVALID input"],
    [{ model: "m", input: null }, "ARGUMENT_INVALID input"],
    [{ model: "m", input: "" }, "ARGUMENT_INVALID input"],
    [{ model: "m", input: [] }, "ARGUMENT_INVALID input"],
    [{ model: "m", input: {} }, "ARGUMENT_INVALID input"],
    [{ model: "m", input: 7 }, "ARGUMENT_INVALID input"],
    [{ model: "m", input: ["a", ""] }, "ARGUMENT_INVALID input[1]"],
    [{ model: "m", input: ["a", 1] }, "ARGUMENT_INVALID input"],
    [{ model: "m", input: [1, "a"] }, "ARGUMENT_INVALID input"],
    [{ model: "m", input: [null] }, "ARGUMENT_INVALID input"],
    [{ model: "m", input: [{}] }, "ARGUMENT_INVALID input"],
    [{ model: "m", input: [-1] }, "ARGUMENT_INVALID input"],
    [{ model: "m", input: [1.5] }, "ARGUMENT_INVALID input"],
    ['{"model":"m","input":[1e9]}', "ARGUMENT_INVALID input"],
    [{ model: "m", input: [4294967296] }, "ARGUMENT_INVALID input"],
    [{ model: "m", input: [[1], []] }, "ARGUMENT_INVALID input[1]"],
    [{ model: "m", input: [["a"]] }, "ARGUMENT_INVALID input[0]"],
    [{ model: "m", input: [[[1]]] }, "ARGUMENT_INVALID input[0]"],
    [{ model: "m", input: Array(2049).fill("a") }, "ARGUMENT_INVALID input"],
    [{ model: "m", input: Array(2049).fill([1]) }, "ARGUMENT_INVALID input"],
    [{ model: "m", input: Array(65_537).fill(1) }, "ARGUMENT_INVALID input"],
    [{ model: "m", input: [Array(65_537).fill(1)] }, "ARGUMENT_INVALID input[0]"],
    [{ model: "", input: "a" }, "ARGUMENT_INVALID model"],
    [{ input: "a" }, "ARGUMENT_INVALID model"],
    [{ model: "m", input: "a", encoding_format: "int8" }, "ARGUMENT_INVALID encoding_format"],
    [{ model: "m", input: "a", encoding_format: 7 }, "ARGUMENT_INVALID encoding_format"],
    [{ model: "m", input: "a", dimensions: 0 }, "ARGUMENT_INVALID dimensions"],
    [{ model: "m", input: "a", dimensions: "8" }, "ARGUMENT_INVALID dimensions"],
    [{ model: "m", input: "a", dimensions: 65_537 }, "ARGUMENT_INVALID dimensions"],
    [{ model: "m", input: "a", user: 7 }, "ARGUMENT_INVALID user"],
    ['{"model":"m","input":"a","input":"b"}', "ARGUMENT_INVALID input"],
    ["[]", "BODY_MALFORMED"],
    ['{"model":"m","input":["a"', "BODY_MALFORMED"],
  ])("refuses what is wrong, and says where (%#)", (body, expected) => {
    expect(refusalOf(body)).toBe(expected);
  });

  it("takes as many inputs and tokens as may be, and no more", () => {
    expect(refusalOf({ model: "m", input: Array(2048).fill("a") })).toBe("none");
    expect(refusalOf({ model: "m", input: Array(65_536).fill(4_294_967_295) })).toBe("none");
  });

  it("accepts any list of texts just when it is one that may be asked for", () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: "binary" }), { maxLength: 6 }), fc.constantFrom(0, 1), (input, indent) => {
        const isGood = input.length > 0 && input.every((text) => text !== "");

        expect(refusalOf(JSON.stringify({ input, model: "m" }, null, indent)) === "none").toBe(isGood);
      }),
    );
  });

  it("accepts any input just when it is of the four kinds", () => {
    const isToken = (value: unknown) =>
      Number.isInteger(value) && !Object.is(value, -0) && Number(value) >= 0 && Number(value) <= 0xffff_ffff;
    const isText = (value: unknown) => typeof value === "string" && value !== "";
    const isTokens = (value: unknown) => Array.isArray(value) && value.length > 0 && value.every(isToken);
    const isInput = (value: unknown) =>
      isText(value) ||
      (Array.isArray(value) &&
        value.length > 0 &&
        (value.every(isText) || value.every(isToken) || value.every(isTokens)));

    const odd = fc.oneof(
      fc.jsonValue(),
      fc.array(fc.oneof(fc.nat(), fc.array(fc.nat()), fc.string())),
      fc.array(fc.array(fc.nat())),
    );

    fc.assert(
      fc.property(odd, (input) => {
        const written = JSON.stringify({ input, model: "m" });

        expect(refusalOf(written) === "none").toBe(isInput(JSON.parse(written).input));
      }),
    );
  });
});
