import { OpenAI } from "openai";
import { describe, expect, it } from "vitest";
import { WeirError } from "../../../shared/errors/weir-error.ts";
import { composeStreamError } from "./error.ts";

describe("composeStreamError()", () => {
  it("writes an event that the official client raises", async () => {
    const bytes = composeStreamError({ error: new WeirError("PROVIDER_FAILED", "Cannot answer: the stream broke") });
    const client = new OpenAI({
      apiKey: "key",
      maxRetries: 0,
      fetch: async () => new Response(new Uint8Array(bytes), { headers: { "content-type": "text/event-stream" } }),
    });

    const stream = await client.responses.create({ model: "m", input: "x", stream: true });
    const reading = (async () => {
      for await (const _event of stream);
    })();

    await expect(reading).rejects.toMatchObject({
      message: expect.stringContaining("the stream broke"),
      code: "provider_failed",
    });
  });
});
