import { mkdtemp, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hashLeaf } from "../merkle/hash.ts";
import { readProof, writeProof } from "./write-proof.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "weir-proof-"));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

describe("a proof in files", () => {
  const content = {
    index: 3n,
    hashes: [hashLeaf(Buffer.from("a"))],
    checkpoint: Buffer.from("note\n"),
    record: Uint8Array.of(0, 255, 10),
  };

  it("is read back with its record byte for byte, and is for its owner's eyes", async () => {
    const path = await writeProof(join(folder, "new"), "id", content);
    const read = await readProof(path);
    expect([...read.record]).toEqual([0, 255, 10]);
    expect((await readFile(path)).toString()).toMatch(/^c2sp\.org\/tlog-proof@v1\nindex 3\n/);
    expect((await stat(path)).mode & 0o077).toBe(0);
  });

  it("is refused when a file is absurdly large or missing", async () => {
    const path = await writeProof(folder, "large", content);
    await writeFile(join(folder, "large.record"), Buffer.alloc(1_000_001));
    await expect(readProof(path)).rejects.toThrow(/more than 1000000/);
    await rm(join(folder, "large.record"));
    await expect(readProof(path)).rejects.toMatchObject({ code: "ENOENT" });
  });

  it("is refused when a file, whatever it says of its size, does not end", async () => {
    const path = await writeProof(folder, "endless", content);
    await rm(join(folder, "endless.record"));
    await symlink("/dev/zero", join(folder, "endless.record"));

    await expect(readProof(path)).rejects.toThrow(/more than 1000000/);
  });
});
