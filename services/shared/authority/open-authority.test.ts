import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { ManualClock } from "../clock.ts";
import { createKey, hashKey } from "../key/key.ts";
import { createLog } from "../telemetry/log.ts";
import { createMetrics } from "../telemetry/metrics.ts";
import { WATCH_INTERVAL_MS } from "../watch-file.ts";
import type { Authority } from "./authority.ts";
import { openAuthority } from "./open-authority.ts";

const lines: string[] = [];
const log = createLog({ service: "test", level: "info", destination: { write: (line) => void lines.push(line) } });
let folder: string;
let path: string;
let stopping: AbortController;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "weir-operators-"));
  path = join(folder, "operators.yaml");
  stopping = new AbortController();
  lines.length = 0;
});
afterEach(() => {
  stopping.abort();
  rmSync(folder, { recursive: true, force: true });
});

const first = createKey("admin");
const second = createKey("admin");
const documentOf = (...keys: readonly (typeof first)[]) =>
  `adminKeys:\n${keys
    .map(
      ({ keyId, text }) =>
        `  - { id: ${keyId}, sha256: ${Buffer.from(hashKey(text)).toString("hex")}, grants: [{ roles: [ROLE_VIEWER], organisation: "*" }] }\n`,
    )
    .join("")}`;

async function isKnown(authority: Authority, { text }: typeof first): Promise<boolean> {
  try {
    await authority.identify({ authorization: `Bearer ${text}`, service: undefined, isLocal: true });
    return true;
  } catch {
    return false;
  }
}

it("the operators' document is taken when it changes; one with a mistake leaves the last good one, and says so", async () => {
  writeFileSync(path, documentOf(first));
  const clock = new ManualClock();
  const metrics = createMetrics("policy", { process: false });
  const authority = openAuthority({ settings: { WEIR_OPERATORS: path }, clock, log, metrics, signal: stopping.signal });
  const look = async () => {
    await clock.whenSleeping();
    clock.advance(WATCH_INTERVAL_MS);
    await clock.whenSleeping();
  };

  writeFileSync(path, documentOf(first, second));
  await look();
  const both = [await isKnown(authority, first), await isKnown(authority, second)];
  writeFileSync(path, `${documentOf(second)}mistake: true\n`);
  await look();
  const kept = [await isKnown(authority, first), await isKnown(authority, second)];
  const page = await metrics.page();
  writeFileSync(path, documentOf(second));
  await look();
  const mended = [await isKnown(authority, first), await isKnown(authority, second)];

  expect([both, kept, mended]).toEqual([
    [true, true],
    [true, true],
    [false, true],
  ]);
  expect(page).toContain("weir_operators_refused 1");
  expect(await metrics.page()).toContain("weir_operators_refused 0");
  expect(lines.join("")).toContain("the last good one stays");
});

it("a document with a mistake, or none where one is named, is refused at the start", () => {
  const open = () =>
    openAuthority({ settings: { WEIR_OPERATORS: path }, clock: new ManualClock(), log, signal: stopping.signal });

  expect(open).toThrow("the file of WEIR_OPERATORS cannot be read: ENOENT");
  writeFileSync(path, "mistake: true");
  expect(open).toThrow("Cannot read operators");
});

it("without the setting nobody operates the service, and its log says how that is changed", async () => {
  const authority = openAuthority({
    settings: { WEIR_OPERATORS: undefined },
    clock: new ManualClock(),
    log,
    signal: stopping.signal,
  });

  expect(await isKnown(authority, first)).toBe(false);
  expect(lines.join("")).toContain("weir operators add-key");
});
