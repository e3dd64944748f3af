import { readFile } from "node:fs/promises";
import { expect, it } from "vitest";
import { assemble, TARGET } from "./assemble.ts";

it("the committed module is what skip-string.wat assembles to", async () => {
  const committed = await readFile(TARGET, "utf8");

  const assembled = await assemble();

  expect(committed, 'run "npm run generate" and commit').toBe(assembled);
});
