import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { ManualClock } from "../clock.ts";
import { createLog } from "../telemetry/log.ts";
import { WATCH_INTERVAL_MS } from "../watch-file.ts";
import { generateNoteKey } from "./key.ts";
import { openTrust } from "./open-trust.ts";

const log = createLog({ service: "test", level: "silent" });
const [old, next] = [generateNoteKey("weir.local/policy"), generateNoteKey("weir.local/policy")];
let directory: string;
let stopping: AbortController;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "weir-trust-"));
  stopping = new AbortController();
});
afterEach(() => {
  stopping.abort();
  rmSync(directory, { recursive: true, force: true });
});

it("the keys of a trust file are taken as they come and go; a file with a mistake, or none, leaves the last good ones", async () => {
  const path = join(directory, "trust.txt");
  const clock = new ManualClock();
  writeFileSync(path, `${old.verifierKey}\n`);
  const trust = openTrust({ path, clock, log, signal: stopping.signal });
  const ids = () => [...trust].map(({ keyId }) => keyId);
  const change = async (text: string) => {
    writeFileSync(path, text);
    await clock.whenSleeping();
    clock.advance(WATCH_INTERVAL_MS);
    await clock.whenSleeping();
  };
  const [oldId] = ids();

  await change(`${old.verifierKey}\n${next.verifierKey}\n`);
  const both = ids();
  await change(`${next.verifierKey}\n`);
  const [nextId] = ids();
  await change("# none\n");

  expect(nextId).not.toBe(oldId);
  expect(both).toEqual([oldId, nextId]);
  expect(ids()).toEqual([nextId]);
});

it("a trust file that is not there, or holds no key, is refused at the start", () => {
  const open = (path: string) => openTrust({ path, clock: new ManualClock(), log, signal: stopping.signal });
  writeFileSync(join(directory, "empty.txt"), "# none\n");

  expect(() => open(join(directory, "none.txt"))).toThrow("the file of WEIR_TRUST cannot be read: ENOENT");
  expect(() => open(join(directory, "empty.txt"))).toThrow("it holds no key");
});
