/**
 * Behind `npm run generate`: makes `wasm.ts` of `skip-string.wat`. With no assembler at run time and no file to find beside the
 * sources, the module loads like any other.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import createWabt from "wabt";

/** Where the assembled module is committed. */
export const TARGET = join(import.meta.dirname, "wasm.ts");

/** Returns the text that {@link TARGET} must have. Rejects when `skip-string.wat` does not assemble. */
export async function assemble(): Promise<string> {
  const wabt = await createWabt();
  const source = await readFile(join(import.meta.dirname, "skip-string.wat"), "utf8");
  const parsed = wabt.parseWat("skip-string.wat", source, { simd: true });
  try {
    parsed.resolveNames();
    parsed.validate();
    const { buffer } = parsed.toBinary({});
    const lines =
      Buffer.from(buffer)
        .toString("base64")
        .match(/.{1,100}/g) ?? [];
    return [
      '// Made of skip-string.wat by assemble.ts ("npm run generate"). Not to be edited.',
      "/** The WebAssembly module, in base64. */",
      "export const WASM =",
      `${lines.map((line) => `  "${line}"`).join(" +\n")};`,
      "",
    ].join("\n");
  } finally {
    parsed.destroy();
  }
}

if (import.meta.main) await writeFile(TARGET, await assemble());
