import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { lockFolder } from "./folder-lock.ts";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "weir-lock-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe("lockFolder()", () => {
  it("gives a folder to one at a time, under whatever name, until it is released", async () => {
    const link = join(folder, "link");
    symlinkSync(folder, link);

    const lock = await lockFolder(folder);
    expect(lock).toBeDefined();
    expect(await lockFolder(folder)).toBeUndefined();
    expect(await lockFolder(link)).toBeUndefined();

    await lock?.release();
    const next = await lockFolder(link);
    expect(next).toBeDefined();
    await next?.release();
  });

  it("gives two folders to two, and a missing one to nobody", async () => {
    const other = mkdtempSync(join(folder, "other-"));
    const locks = [await lockFolder(folder), await lockFolder(other)];

    expect(locks).not.toContain(undefined);
    await expect(lockFolder(join(folder, "missing"))).rejects.toMatchObject({ code: "ENOENT" });
    for (const lock of locks) await lock?.release();
  });
});
