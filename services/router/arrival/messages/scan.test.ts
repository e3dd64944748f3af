import { describe, expect, it } from "vitest";
import { WeirError } from "../../../shared/errors/weir-error.ts";
import { scanCountRequest, scanRequest } from "./scan.ts";

const MESSAGES = '"messages":[{"role":"user","content":"hi"}]';
const scan = (text: string) => scanRequest(Buffer.from(text));

function refusal(text: string): WeirError {
  try {
    scan(text);
  } catch (error) {
    if (error instanceof WeirError) return error;
    throw error;
  }
  throw new Error("was not refused");
}

describe("scanRequest()", () => {
  it("reads what Weir acts on and where it stands", () => {
    const text = `{"system":[{"model":1}],"model": "big" ,${MESSAGES},"max_tokens":5,"stream":true,"metadata":{"user_id":"u1"}}`;

    const { request, ...rest } = scan(text);

    expect(rest).toEqual({ model: "big", maxOutputTokens: 5n, candidates: 1, endUser: "u1" });
    expect(request).toMatchObject({ format: "messages", streamed: true, wantsUsage: true, streamOptionsStart: -1 });
    expect(request.bytes.subarray(request.modelStart, request.modelEnd).toString()).toBe('"big"');
  });

  it("takes null for absent, and leaves a missing cap to the provider", () => {
    const { request, ...rest } = scan(`{"model":"m",${MESSAGES},"stream":null,"metadata":null}`);

    expect(rest).toEqual({ model: "m", maxOutputTokens: undefined, candidates: 1, endUser: "" });
    expect(request.streamed).toBe(false);
  });

  it("takes a cap of 0, which only fills the cache", () => {
    expect(scan(`{"model":"m",${MESSAGES},"max_tokens":0}`).maxOutputTokens).toBe(0n);
  });

  it("keeps no pseudonym that is too long", () => {
    expect(scan(`{"model":"m",${MESSAGES},"metadata":{"user_id":"${"u".repeat(200)}"}}`).endUser).toBe("");
  });

  it.each([
    [`{${MESSAGES}}`, "model"],
    [`{"model":5,${MESSAGES}}`, "model"],
    [`{"model":"m"}`, "messages"],
    [`{"model":"m","messages":[]}`, "messages"],
    [`{"model":"m",${MESSAGES},"stream":"yes"}`, "stream"],
    [`{"model":"m",${MESSAGES},"max_tokens":-1}`, "max_tokens"],
    [`{"model":"m",${MESSAGES},"max_tokens":1.5}`, "max_tokens"],
    [`{"model":"m",${MESSAGES},"max_tokens":"5"}`, "max_tokens"],
    [`{"model":"m",${MESSAGES},"metadata":[]}`, "metadata"],
    [`{"model":"m",${MESSAGES},"metadata":{"user_id":5}}`, "metadata.user_id"],
    [`{"model":"m",${MESSAGES},"metadata":{"user_id":"a\\u0000"}}`, "metadata.user_id"],
  ])("refuses %s and names %s", (text, field) => {
    expect(refusal(text)).toMatchObject({ reason: "ARGUMENT_INVALID", facts: { field } });
  });

  it.each([
    [`{"model":"m",${MESSAGES},"model":"n"}`, "model"],
    [`{"model":"m",${MESSAGES},"Model":"n"}`, "model"],
    [`{"model":"m",${MESSAGES},"mod\\u0065l":"n"}`, "model"],
    [`{"model":"m",${MESSAGES},"MAX_TOKENS":9}`, "max_tokens"],
    [`{"model":"m",${MESSAGES},"stream":false,"stream":true}`, "stream"],
  ])("refuses %s, which a provider might read otherwise", (text, field) => {
    expect(refusal(text)).toMatchObject({ reason: "ARGUMENT_INVALID", facts: { field } });
  });

  it.each(["", "[]", "{", `{"model":"m",${MESSAGES}} x`])("refuses %j as malformed", (text) => {
    expect(refusal(text).reason).toBe("BODY_MALFORMED");
  });
});

describe("scanCountRequest()", () => {
  it("is never streamed, whatever it says", () => {
    const { request } = scanCountRequest(Buffer.from(`{"model":"m",${MESSAGES},"stream":true}`));

    expect(request).toMatchObject({ format: "count-tokens", streamed: false });
  });
});
