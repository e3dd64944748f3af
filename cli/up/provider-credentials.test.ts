import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type PolicyHarness, startHarness, type TestInstance } from "../../services/policy/harness.fixture.ts";
import { TEST_ADMIN_KEY } from "../../services/shared/authority/authority.fixture.ts";
import { parseRecipients } from "../../services/shared/credential/region-key.ts";
import { setCredential } from "../credentials.ts";
import { generateTrustRoot } from "../keygen.ts";
import { createLayout } from "./layout.ts";
import type { ModelProvider } from "./model-providers.ts";
import { setProviderCredentials } from "./provider-credentials.ts";

let directory: string;
let harness: PolicyHarness;
let policy: TestInstance;

beforeAll(async () => {
  harness = await startHarness();
}, 120_000);
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "weir-credentials-"));
  await harness.reset();
  policy = await harness.start();
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));
afterAll(() => harness.stop());

describe("setProviderCredentials()", () => {
  it("sets each once, again when it is another one, and deletes what is wanted no longer", async () => {
    await run([openai("sk-one")]);
    const first = await listVersions();
    await run([openai("sk-one")]);
    const same = await listVersions();
    await run([openai("sk-two")]);
    const other = await listVersions();
    await run([]);

    expect([first, same, other]).toEqual([
      ["openai 1: eu us", "scripted 1: eu us"],
      ["openai 1: eu us", "scripted 1: eu us"],
      ["openai 2: eu us", "scripted 1: eu us"],
    ]);
    expect(await listVersions()).toEqual(["scripted 1: eu us"]);
  });

  it("lets a real provider's go to its own address only", async () => {
    await run([openai("sk-one")]);

    const { credentials } = await policy.credentials.listCredentials({ organisation: "demo", name: "openai" });
    expect(credentials[0]?.regions.map(({ origins }) => origins)).toEqual([
      ["https://api.openai.com"],
      ["https://api.openai.com"],
    ]);
  });

  it("leaves alone what a user has set under the same name", async () => {
    const root = createRoot();
    const recipient = parseRecipients(readFileSync(root.recipients, "utf8")).get("eu")!;
    const secret = Buffer.from("sk-of-the-user");
    const regions = [{ recipient, origins: [] }];
    await setCredential(policy.credentials, { organisation: "demo", name: "openai", secret, regions });

    await run([openai("sk-one")]);

    expect(await listVersions()).toEqual(["openai 1: eu", "scripted 1: eu us"]);
  });

  it("sets all anew in an empty database, and writes no secret anywhere", async () => {
    await run([openai("sk-one")]);
    await harness.reset();
    policy = await harness.start();

    await run([openai("sk-one")]);

    expect(await listVersions()).toEqual(["openai 1: eu us", "scripted 1: eu us"]);
    expect(readFileSync(createLayout(directory).credentials, "utf8")).not.toContain("sk-one");
  });

  it("removes the clear credentials that an earlier version left", async () => {
    mkdirSync(join(directory, "credentials", "eu"), { recursive: true });
    writeFileSync(join(directory, "credentials", "eu", "openai"), "sk-left");

    await run([]);

    expect(existsSync(join(directory, "credentials"))).toBe(false);
  });
});

function openai(secret: string): ModelProvider {
  const model = { name: "gpt", input: "1", output: "1" };
  const baseUrl = "https://api.openai.com/v1";
  const credential = { name: "openai", secret };
  return { id: "openai", displayName: "OpenAI", baseUrl, credential, small: model, large: model };
}

function createRoot() {
  return generateTrustRoot({ directory: join(directory, "keys"), regions: ["eu", "us"] });
}

async function run(modelProviders: readonly ModelProvider[]): Promise<void> {
  const layout = createLayout(directory);
  const tokenFile = join(directory, "admin-key");
  writeFileSync(tokenFile, TEST_ADMIN_KEY);
  const endpoint = { address: policy.address, tokenFile };
  await setProviderCredentials({ policy: endpoint, trust: createRoot(), layout, modelProviders });
}

async function listVersions(): Promise<string[]> {
  const { credentials } = await policy.credentials.listCredentials({ organisation: "demo" });
  return credentials.map(
    ({ name, version, regions }) => `${name} ${version}: ${regions.map(({ region }) => region).join(" ")}`,
  );
}
