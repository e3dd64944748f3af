import { describe, expect, it } from "vitest";
import { readRefusal } from "./error.ts";

function refuse(status: number, error: unknown) {
  return readRefusal({ status, headers: {}, body: Buffer.from(JSON.stringify({ error })), nowMs: 0 });
}

describe("readRefusal()", () => {
  it("tells the caller that an earlier answer is not there, whatever status says so", () => {
    const error = { message: "Previous response with id 'resp_1' not found.", param: "previous_response_id" };

    for (const status of [400, 404]) {
      expect(refuse(status, error)).toMatchObject({
        reason: "PROVIDER_REFUSED",
        elsewhere: false,
        said: { message: error.message, param: "previous_response_id" },
      });
    }
  });

  it("tries elsewhere when a model is not there", () => {
    expect(refuse(404, { code: "model_not_found", param: "model" }).elsewhere).toBe(true);
  });
});
