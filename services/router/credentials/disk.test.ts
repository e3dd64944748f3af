import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { generateRegionKey, parseRecipients, type Recipient } from "../../shared/credential/region-key.ts";
import { createRegionKeyWrapper } from "../../shared/credential/region-key-wrapper.ts";
import { createLog } from "../../shared/telemetry/log.ts";
import { CredentialDisk } from "./disk.ts";
import { CredentialHold } from "./hold.ts";
import { seal, signSet, TRUST, UNWRAPPER } from "./sets.fixture.ts";

let directory: string;
let lines: string[];
const log = createLog({ service: "test", destination: { write: (line) => void lines.push(line) } });

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "weir-credentials-"));
  lines = [];
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

describe("CredentialDisk", () => {
  it("keeps what was sent, sealed, for its owner alone, and a restart opens it without anyone", async () => {
    await keep([signSet(1n, [await seal("openai", 1n, "sk-the-secret")])]);

    const [name = ""] = readdirSync(directory);
    expect(statSync(join(directory, name)).mode & 0o777).toBe(0o600);
    expect(readFileSync(join(directory, name), "latin1")).not.toContain("sk-the-secret");
    expect(secretOf(await restart())).toBe("sk-the-secret");
  });

  it("keeps the last three sets, and starts with the newest", async () => {
    const versions = [1n, 2n, 3n, 4n, 5n];
    await keep(
      await Promise.all(
        versions.map(async (version) => signSet(version, [await seal("openai", version, `sk-${version}`)])),
      ),
    );

    expect(readdirSync(directory)).toHaveLength(3);
    expect(secretOf(await restart())).toBe("sk-5");
  });

  it("starts with the credential that was in use when the newest does not open", async () => {
    const other = createRegionKeyWrapper(parseRecipients(generateRegionKey("eu").recipient).get("eu") as Recipient);
    await keep([
      signSet(1n, [await seal("openai", 1n, "sk-1")]),
      signSet(2n, [await seal("openai", 2n, "sk-2", other)]),
    ]);

    const hold = await restart();

    expect(secretOf(hold)).toBe("sk-1");
    expect(hold.sealed?.version).toBe(2n);
  });

  it("refuses files that were changed or are none, says so, and starts with what is good", async () => {
    await keep([signSet(1n, [await seal("openai", 1n, "sk-1")]), signSet(2n, [await seal("openai", 2n, "sk-2")])]);
    const newest = join(directory, readdirSync(directory).sort()[1] as string);
    const bytes = readFileSync(newest);
    bytes[20] = (bytes[20] as number) ^ 1;
    writeFileSync(newest, bytes);
    writeFileSync(join(directory, `credentials-${"9".repeat(18)}7.weir`), "nonsense");

    expect(secretOf(await restart())).toBe("sk-1");
    expect(lines.filter((line) => line.includes("Refused a file"))).toHaveLength(2);
  });

  it("writes again a set whose file was refused", async () => {
    const set = signSet(1n, [await seal("openai", 1n, "sk-1")]);
    await keep([set]);
    const path = join(directory, readdirSync(directory)[0] as string);
    writeFileSync(path, "nonsense");

    await keep([set]);

    expect(secretOf(await restart())).toBe("sk-1");
  });
});

async function keep(sets: readonly ReturnType<typeof signSet>[]): Promise<void> {
  const disk = new CredentialDisk({ directory, log });
  const hold = createHold();
  await disk.load(hold);
  for (const set of sets) {
    await hold.offer(set);
    await disk.save(hold);
  }
}

async function restart(): Promise<CredentialHold> {
  const hold = createHold();
  await new CredentialDisk({ directory, log }).load(hold);
  return hold;
}

function createHold(): CredentialHold {
  return new CredentialHold({ trust: TRUST, region: "eu", unwrapper: UNWRAPPER, signal: new AbortController().signal });
}

function secretOf(hold: CredentialHold): string | undefined {
  return hold.current()("acme", "openai")?.secret;
}
