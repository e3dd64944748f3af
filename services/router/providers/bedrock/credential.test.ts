import { describe, expect, it } from "vitest";
import { readCredential } from "./credential.ts";

describe("readCredential()", () => {
  it.each([
    ["AKIDEXAMPLE:a/b+c=", { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "a/b+c=", sessionToken: "" }],
    ["ASIDEXAMPLE:a/b+c=:t/o=", { accessKeyId: "ASIDEXAMPLE", secretAccessKey: "a/b+c=", sessionToken: "t/o=" }],
    ['{"accessKeyId":"A","secretAccessKey":"b"}', { accessKeyId: "A", secretAccessKey: "b", sessionToken: "" }],
    [
      '{"Version":1,"AccessKeyId":"A","SecretAccessKey":"b","SessionToken":"c","Expiration":"2026-01-01T00:00:00Z"}',
      { accessKeyId: "A", secretAccessKey: "b", sessionToken: "c" },
    ],
  ])("reads keys: %s", (secret, keys) => {
    expect(readCredential(secret)).toEqual({ kind: "keys", ...keys });
  });

  it("reads an API key", () => {
    expect(readCredential("ABSKQmVkcm9jaw==")).toEqual({ kind: "api-key", token: "ABSKQmVkcm9jaw==" });
  });

  it.each([
    "{SECRET",
    '{"accessKeyId":"SECRET"}',
    '{"accessKeyId":"A","secretAccessKey":"SE\\nCRET"}',
    "A:SECRET",
    "SEC RET",
    "",
  ])("refuses anything else, without a word of it: %j", (secret) => {
    const read = () => readCredential(secret);

    expect(read).toThrow(expect.objectContaining({ reason: "SETTING_INVALID" }));
    expect(read).not.toThrow(/SEC/);
  });
});
