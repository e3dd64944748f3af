import { describe, expect, it } from "vitest";
import { readLines } from "./lines.ts";
import { Refusal } from "./verdict.ts";

async function read(...chunks: string[]): Promise<string[]> {
  const source = (async function* () {
    for (const chunk of chunks) yield Buffer.from(chunk);
  })();
  const lines: string[] = [];
  for await (const line of readLines(source, "records.jsonl", 4)) lines.push(Buffer.from(line).toString());
  return lines;
}

describe("readLines()", () => {
  it("gives the same lines however the file is cut", async () => {
    const expected = ["abcd", "", "e"];
    expect(await read("abcd\n\ne\n")).toEqual(expected);
    expect(await read(..."abcd\n\ne\n")).toEqual(expected);
  });

  it.each([
    ["in one piece", ["abcde\n"]],
    ["in two pieces", ["abc", "de\n"]],
    ["that never ends", ["ab", "cd", "e"]],
  ])("refuses a line that is too long, %s", async (_, chunks) => {
    await expect(read(...chunks)).rejects.toThrow(/a line of records.jsonl has more than 4 bytes/);
  });

  it("refuses a last line without an end", async () => {
    await expect(read("abc\nd")).rejects.toThrow(Refusal);
  });
});
