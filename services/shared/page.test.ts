import { describe, expect, it } from "vitest";
import { createPageToken, readPageSize, readPageToken, readPlaceId, readPlaceNumber } from "./page.ts";

const list = ["records", "acme", 0];
const token = createPageToken(list, ["40", "10"]);
const refused = expect.objectContaining({ reason: "ARGUMENT_INVALID" });

describe("page size", () => {
  it("is the default for 0, and never more than the most", () => {
    const bounds = { default: 50, max: 200 };
    expect([0, 1, 200, 2 ** 31 - 1].map((asked) => readPageSize(asked, bounds))).toEqual([50, 1, 200, 200]);
  });
});

describe("page token", () => {
  it("is read back for the same list; the empty one begins", () => {
    expect(readPageToken(list, token, 2)).toEqual(["40", "10"]);
    expect(readPageToken(list, "", 2)).toBeUndefined();
    expect(token).toMatch(/^[A-Za-z0-9_-]+$/);
  });

  it("is refused by another list, and by another question to the same one", () => {
    expect(() => readPageToken(["keys", "acme", 0], token, 2)).toThrow(refused);
    expect(() => readPageToken(["records", "other", 0], token, 2)).toThrow(refused);
    expect(() => readPageToken(["records", "acme"], token, 2)).toThrow(refused);
  });

  it.each([
    ["noise", "noise"],
    ["another encoding of the same bytes", `${token}=`],
    ["an object", Buffer.from('{"a":1}').toString("base64url")],
    ["a place of another length", createPageToken(list, ["40"])],
    ["a NUL", createPageToken(list, ["40", "\0"])],
  ])("%s is refused", (_, bad) => {
    expect(() => readPageToken(list, bad, 2)).toThrow(refused);
  });
});

describe("a place that is an id", () => {
  const id = "019a0000-0000-7000-8000-0000000000ff";

  it("is read as PostgreSQL writes it", () => {
    expect(readPlaceId(id)).toBe(id);
  });

  it.each([[id.toUpperCase()], [id.replaceAll("-", "")], [`${id}0`], [""], [undefined]])("%s is refused", (text) => {
    expect(() => readPlaceId(text)).toThrow(refused);
  });
});

describe("a place that is a number", () => {
  it("is read up to the largest int64", () => {
    expect(readPlaceNumber("9223372036854775807")).toBe(2n ** 63n - 1n);
  });

  it.each([["-1"], ["9223372036854775808"], ["1e3"], [""], [undefined]])("%s is refused", (text) => {
    expect(() => readPlaceNumber(text)).toThrow(refused);
  });
});
