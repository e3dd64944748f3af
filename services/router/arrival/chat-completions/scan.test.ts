import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { WeirError } from "../../../shared/errors/weir-error.ts";
import { scanRequest } from "./scan.ts";

const MESSAGES = '"messages":[{"role":"user","content":"hi"}]';
const scan = (text: string) => scanRequest(Buffer.from(text));

function refusal(bytes: string | Buffer): WeirError {
  try {
    scanRequest(Buffer.from(bytes as string));
  } catch (error) {
    if (error instanceof WeirError) return error;
    throw error;
  }
  throw new Error("was not refused");
}

describe("scanRequest()", () => {
  it("reads what Weir acts on and where it stands", () => {
    const text = `{"x":{"model":1},"model": "small" ,${MESSAGES},"stream":true,"stream_options":{"include_usage":true,"y":1},"max_tokens":5,"max_completion_tokens":7,"n":2,"user":"u1"}`;

    const { request, ...rest } = scan(text);

    expect(rest).toEqual({ model: "small", maxOutputTokens: 7n, candidates: 2, endUser: "u1" });
    expect(request).toMatchObject({ streamed: true, wantsUsage: true });
    expect(request.bytes.subarray(request.modelStart, request.modelEnd).toString()).toBe('"small"');
    expect(request.bytes.subarray(request.streamOptionsStart, request.streamOptionsEnd).toString()).toBe(
      '{"include_usage":true,"y":1}',
    );
  });

  it("takes the longest model, in bytes, and the most answers that there may be", () => {
    const model = `${"日".repeat(85)}m`;

    expect(scan(`{"model":"${model}",${MESSAGES},"n":128}`)).toMatchObject({ model, candidates: 128 });
  });

  it("takes null for absent", () => {
    const { request, ...rest } = scan(
      `{"model":"m",${MESSAGES},"stream":null,"stream_options":null,"max_tokens":null,"n":null,"user":null}`,
    );

    expect(rest).toEqual({ model: "m", maxOutputTokens: undefined, candidates: 1, endUser: "" });
    expect(request).toMatchObject({ streamed: false, wantsUsage: false });
  });

  it.each([
    [`{${MESSAGES}}`, "model"],
    [`{"model":5,${MESSAGES}}`, "model"],
    [`{"model":"",${MESSAGES}}`, "model"],
    [`{"model":"${"m".repeat(257)}",${MESSAGES}}`, "model"],
    [`{"model":"${"日".repeat(86)}",${MESSAGES}}`, "model"],
    [`{"model":"m"}`, "messages"],
    [`{"model":"m","messages":[ ]}`, "messages"],
    [`{"model":"m","messages":{}}`, "messages"],
    [`{"model":"m",${MESSAGES},"stream":"true"}`, "stream"],
    [`{"model":"m",${MESSAGES},"stream":1}`, "stream"],
    [`{"model":"m",${MESSAGES},"stream":true,"stream_options":[]}`, "stream_options"],
    [`{"model":"m",${MESSAGES},"stream":true,"stream_options":{"include_usage":1}}`, "stream_options.include_usage"],
    ...["0", "-1", "1.5", "1e400", '"100"', "9007199254740993", "[]", "{}", "true"].map((value) => [
      `{"model":"m",${MESSAGES},"max_tokens":${value}}`,
      "max_tokens",
    ]),
    ...["0", "-1", "129", '"2"'].map((value) => [`{"model":"m",${MESSAGES},"n":${value}}`, "n"]),
    [`{"model":"m",${MESSAGES},"user":{}}`, "user"],
    [`{"model":"m",${MESSAGES},"user":"a\\u0000b"}`, "user"],
    [`{"model":"m","model":"n",${MESSAGES}}`, "model"],
    [`{"model":"m","Model":"n",${MESSAGES}}`, "model"],
    [`{"mod\\u0065l":"m",${MESSAGES}}`, "model"],
    [`{"model":"m",${MESSAGES},"MAX_TOKENS":5}`, "max_tokens"],
    [`{"model":"m",${MESSAGES},"\\u006d\\u0061\\u0078_tokens":5}`, "max_tokens"],
  ])("refuses %s and names %s", (text, field) => {
    expect(refusal(text)).toMatchObject({ reason: "ARGUMENT_INVALID", facts: { field } });
  });

  it.each([
    ["", "too early"],
    ["[]", "not an object"],
    [`{"model":"m",${MESSAGES}`, "too early"],
    [`{"model":"m",${MESSAGES}} {}`, "after its end"],
    [`{"model":"m","messages":[${"[".repeat(100_000)}`, "deep"],
    [Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]), "UTF-8"],
    [Buffer.from(`{"model":"m",${MESSAGES}}`, "utf16le"), "name of a member"],
    [`\ufeff{"model":"m",${MESSAGES}}`, "not an object"],
  ])("refuses %j and says why", (bytes, state) => {
    const error = refusal(bytes);

    expect(error.reason).toBe("BODY_MALFORMED");
    expect(error.message).toContain(state);
  });

  it("does not keep a pseudonym that is too long for a record", () => {
    expect(scan(`{"model":"m",${MESSAGES},"user":"${"u".repeat(129)}"}`).endUser).toBe("");
  });

  it("reads the same members whatever stands around them", () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 4 })),
        fc.string({ minLength: 1, maxLength: 60 }).filter((model) => Buffer.byteLength(model) <= 256),
        fc.boolean(),
        fc.constantFrom(undefined, 2),
        (others, model, stream, indent) => {
          const known = { model, stream, messages: [{ role: "user", content: model }] };
          const rest = Object.entries(others).filter(
            ([key]) => !/^(model|messages|stream|stream_options|max_tokens|max_completion_tokens|n|user)$/i.test(key),
          );

          const scanned = scan(JSON.stringify({ ...Object.fromEntries(rest), ...known }, undefined, indent));

          expect(scanned.model).toBe(model.toWellFormed());
          expect(scanned.request.streamed).toBe(stream);
        },
      ),
    );
  });
});
