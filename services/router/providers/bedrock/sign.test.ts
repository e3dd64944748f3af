import { describe, expect, it } from "vitest";
import { converse } from "./converse.ts";
import { sign, signPart } from "./sign.ts";

const SETTINGS = { apiVersion: "", cloudRegion: "eu-central-1" };
const SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const KEYS = { kind: "keys", accessKeyId: "AKIDEXAMPLE", secretAccessKey: SECRET, sessionToken: "" } as const;
const ARN = "arn:aws:bedrock:eu-central-1:123456789012:inference-profile/eu.anthropic.claude-sonnet-4-5-20250929-v1:0";
const REQUEST = {
  origin: "https://bedrock-runtime.eu-central-1.amazonaws.com",
  path: converse.toPath({ model: ARN, streamed: true, settings: SETTINGS }),
  body: Buffer.from('{"messages":[]}'),
  settings: SETTINGS,
  nowMs: Date.UTC(2026, 0, 2, 3, 4, 5),
};
const toHeaders = (list: readonly string[]) =>
  Object.fromEntries(list.flatMap((name, at) => (at % 2 === 0 ? [[name, list[at + 1]]] : [])));

describe("signPart()", () => {
  // AWS's test suite for Signature Version 4 (aws-sig-v4-test-suite.zip), which Amazon published with its documentation.
  it.each([
    [
      "get-vanilla",
      "GET",
      "/",
      {},
      "",
      "host;x-amz-date",
      "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    ],
    [
      "get-vanilla-query-order-key-case",
      "GET",
      "/?Param2=value2&Param1=value1",
      {},
      "",
      "host;x-amz-date",
      "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    ],
    [
      "post-vanilla",
      "POST",
      "/",
      {},
      "",
      "host;x-amz-date",
      "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
    ],
    [
      "post-x-www-form-urlencoded",
      "POST",
      "/",
      { "content-type": "application/x-www-form-urlencoded" },
      "Param1=value1",
      "content-type;host;x-amz-date",
      "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
    ],
  ])("signs as AWS's test suite does: %s", (_name, method, path, headers, body, names, signature) => {
    const part = {
      method,
      host: "example.amazonaws.com",
      path,
      headers,
      body: Buffer.from(body),
      region: "us-east-1",
      service: "service",
      nowMs: Date.UTC(2015, 7, 30, 12, 36, 0),
    };

    expect(toHeaders(signPart(part, KEYS))).toEqual({
      "x-amz-date": "20150830T123600Z",
      authorization: `AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=${names}, Signature=${signature}`,
    });
  });
});

describe("sign()", () => {
  // The expected signatures are those of @smithy/signature-v4 5.7.5, the AWS SDK's own signer, for the same requests.
  it("signs an ARN in the path as AWS's own SDK does", () => {
    const headers = toHeaders(sign(REQUEST, `AKIDEXAMPLE:${SECRET}`));

    expect(headers).toEqual({
      "x-amz-date": "20260102T030405Z",
      authorization:
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260102/eu-central-1/bedrock/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature=38668cda207ef2d8d9563d3344a64e3f342c25c0c14524dab6b69cdea6e13ee2",
    });
  });

  it("signs a session token, too", () => {
    const headers = toHeaders(sign(REQUEST, `AKIDEXAMPLE:${SECRET}:tok/en+=`));

    expect(headers).toEqual({
      "x-amz-date": "20260102T030405Z",
      "x-amz-security-token": "tok/en+=",
      authorization:
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260102/eu-central-1/bedrock/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature=3e4b1c4c51bc79162b3064d518b6758e2926c82dd144612acffa6609874182e0",
    });
  });

  it("has nothing to add to an API key", () => {
    expect(sign(REQUEST, "ABSKQmVkcm9jaw==")).toEqual([]);
  });

  it("refuses to sign for no region", () => {
    const request = { ...REQUEST, settings: { ...SETTINGS, cloudRegion: "" } };

    expect(() => sign(request, `AKIDEXAMPLE:${SECRET}`)).toThrow(
      expect.objectContaining({ reason: "SETTING_INVALID" }),
    );
  });
});
