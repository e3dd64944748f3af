import { describe, expect, it } from "vitest";
import { scanRequest } from "./scan.ts";

function scan(request: Record<string, unknown>) {
  return scanRequest(Buffer.from(JSON.stringify(request)));
}

describe("scanRequest()", () => {
  it("reads what Weir acts on", () => {
    const { request, model, maxOutputTokens, candidates, endUser } = scan({
      model: "large",
      input: "How deep?",
      stream: true,
      max_output_tokens: 7,
      safety_identifier: "u-1",
      store: true,
    });

    expect({ model, maxOutputTokens, candidates, endUser }).toEqual({
      model: "large",
      maxOutputTokens: 7n,
      candidates: 1,
      endUser: "u-1",
    });
    expect(request).toMatchObject({ format: "responses", streamed: true, wantsUsage: true, isBound: false });
    expect(request.bytes.toString("utf8", request.modelStart, request.modelEnd)).toBe('"large"');
  });

  it("prefers the older name of the pseudonym", () => {
    expect(scan({ model: "m", input: "x", user: "u-2", safety_identifier: "u-1" }).endUser).toBe("u-2");
  });

  it.each([{ previous_response_id: "resp_1" }, { conversation: "conv_1" }, { prompt: { id: "pmpt_1" } }])(
    "says that a request is bound to an account: %o",
    (binding) => {
      expect(scan({ model: "m", input: "x", ...binding }).request.isBound).toBe(true);
      expect(scan({ model: "m", ...binding }).request.isBound).toBe(true);
    },
  );

  it.each([
    ["model", { input: "x" }],
    ["input", { model: "m" }],
    ["input", { model: "m", input: [] }],
    ["input", { model: "m", input: {} }],
    ["input", { model: "m", input: 1, previous_response_id: "resp_1" }],
    ["stream", { model: "m", input: "x", stream: "true" }],
    ["max_output_tokens", { model: "m", input: "x", max_output_tokens: 0 }],
    ["user", { model: "m", input: "x", user: 1 }],
  ])("refuses by the name of the field: %s", (field, request) => {
    expect(() => scan(request)).toThrow(expect.objectContaining({ reason: "ARGUMENT_INVALID", facts: { field } }));
  });

  it("refuses a member that stands there twice", () => {
    const bytes = Buffer.from('{"model":"a","input":"x","previous_response_id":null,"previous_response_id":"resp_1"}');

    expect(() => scanRequest(bytes)).toThrow(expect.objectContaining({ reason: "ARGUMENT_INVALID" }));
  });

  it("does not serve responses in the background", () => {
    expect(() => scan({ model: "m", input: "x", background: true })).toThrow(
      expect.objectContaining({ reason: "NOT_SERVED", facts: { field: "background" } }),
    );
  });
});
