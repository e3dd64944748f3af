import { describe, expect, it } from "vitest";
import { formatPageToken, parsePageToken } from "./page-token.ts";

const filter = ["acme", "0", "0"];
const token = formatPageToken({ filter, end: 40n, next: 10n });
const refused = expect.objectContaining({ reason: "ARGUMENT_INVALID" });

describe("page token", () => {
  it("is read back for the same listing; the empty one begins", () => {
    expect(parsePageToken(token, filter)).toEqual({ filter, end: 40n, next: 10n });
    expect(parsePageToken("", filter)).toBeUndefined();
    expect(token).toMatch(/^[A-Za-z0-9_-]+$/);
  });

  it("is refused by a listing with another filter", () => {
    expect(() => parsePageToken(token, ["other", "0", "0"])).toThrow(refused);
    expect(() => parsePageToken(token, ["acme", "0"])).toThrow(refused);
  });

  it.each([
    ["noise", "noise"],
    ["another encoding", `${token}=`],
    ["an object", Buffer.from('{"a":1}').toString("base64url")],
    ["a negative index", formatPageToken({ filter, end: 40n, next: -1n })],
    ["a number beyond int64", formatPageToken({ filter, end: 10n ** 30n, next: 1n })],
    ["numbers instead of texts", Buffer.from('["acme","0","0",40,10]').toString("base64url")],
  ])("%s is refused", (_, bad) => {
    expect(() => parsePageToken(bad, filter)).toThrow(refused);
  });
});
