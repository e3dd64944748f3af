import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { Bucket } from "./bucket.ts";
import { encodeEntries } from "./file.ts";

const grant = (text: string) => Buffer.from(text);
const fill = (entries: Readonly<Record<string, string>>, from = Bucket.EMPTY) =>
  from.change(new Map(Object.entries(entries).map(([id, text]) => [id, grant(text)])));
const toHex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const read = (entries: Iterable<{ readonly id: string; readonly grant: Uint8Array }>) =>
  Array.from(entries, ({ id, grant: bytes }) => `${id}=${Buffer.from(bytes)}`);

describe("Bucket", () => {
  it("has its entries by the bytes of their ids, whatever the order they came in", () => {
    expect(read(fill({ b: "2", "😀": "4", ab: "1", é: "3" }))).toEqual(["ab=1", "b=2", "é=3", "😀=4"]);
  });

  it("change() replaces, adds and removes, takes the removal of what is not there, and leaves the bucket before as it was", () => {
    const before = fill({ a: "1", b: "2", c: "3" });

    const after = before.change(
      new Map([
        ["b", undefined],
        ["c", grant("longer")],
        ["d", grant("")],
        ["e", undefined],
      ]),
    );

    expect([read(after), after.size]).toEqual([["a=1", "c=longer", "d="], 3]);
    expect([read(before), before.size]).toEqual([["a=1", "b=2", "c=3"], 3]);
  });

  it("find() tells an id that is not there from one with an empty grant", () => {
    const bucket = fill({ a: "", c: "3" });

    expect(["a", "b", "c", "d"].map((id) => bucket.find(id)?.length)).toEqual([0, undefined, 1, undefined]);
  });

  it("startingWith() gives the ids of that beginning alone, the beginning itself among them", () => {
    const bucket = fill({ tenan: "1", tenant: "2", "tenant:": "3", "tenant:a": "4", "tenant:b/c": "5", tenants: "6" });

    expect(read(bucket.startingWith("tenant:"))).toEqual(["tenant:=3", "tenant:a=4", "tenant:b/c=5"]);
    expect(read(bucket.startingWith("x"))).toEqual([]);
  });

  it("differingFrom() gives what is new or has another grant, and nothing of a bucket with the same entries", () => {
    const before = fill({ a: "1", b: "2", c: "3" });
    const after = fill({ b: "9", d: "4" }, before).change(new Map([["a", undefined]]));

    expect(read(after.differingFrom(before))).toEqual(["b=9", "d=4"]);
    expect(read(before.differingFrom(after))).toEqual(["a=1", "b=2"]);
    expect(read(after.differingFrom(fill({ b: "9", c: "3", d: "4" })))).toEqual([]);
  });

  it("is encoded as a page of its entries is, whatever their lengths, and finds each of them", () => {
    const lengths = [1, 100, 127, 128, 129, 16_383, 16_384, 20_000];
    const bucket = fill(Object.fromEntries(lengths.map((length) => ["i".repeat(length), "g".repeat(length * 3)])));

    expect(bucket.encoded.equals(encodeEntries(bucket))).toBe(true);
    expect(lengths.map((length) => bucket.find("i".repeat(length))?.length)).toEqual(
      lengths.map((length) => length * 3),
    );
  });

  it("digest() is that of one entry after the other, also when it is larger than any before", () => {
    const texts = ["i".repeat(200), "g".repeat(100_000)] as const;
    const digested = texts.flatMap((text) => [Buffer.from(Uint32Array.of(text.length).buffer).swap32(), text]);
    const sum = createHash("sha256");
    for (const piece of digested) sum.update(piece);

    expect(toHex(fill({ [texts[0]]: texts[1] }).digest())).toBe(sum.digest("hex"));
  });

  it("keeps its entries when the bytes that it was made of change afterwards", () => {
    const bytes = grant("1");
    const bucket = Bucket.EMPTY.change(new Map([["a", bytes]]));
    bytes.write("2");

    expect(read(bucket)).toEqual(["a=1"]);
    expect(toHex(bucket.digest())).toBe(createHash("sha256").update("\0\0\0\x01a\0\0\0\x011").digest("hex"));
  });
});
