import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { CredentialSetSchema } from "../gen/weir/policy/v1/credential_service_pb.ts";
import { type PolicyHarness, startHarness, type TestInstance } from "../services/policy/harness.fixture.ts";
import { openCredential } from "../services/shared/credential/envelope.ts";
import { parseRecipients, parseRegionKeys } from "../services/shared/credential/region-key.ts";
import { createRegionKeyUnwrapper } from "../services/shared/credential/region-key-wrapper.ts";
import { setCredential, waitUsed } from "./credentials.ts";
import { generateTrustRoot } from "./keygen.ts";
import { readSecret } from "./read-secret.ts";

const directory = mkdtempSync(join(tmpdir(), "weir-credentials-"));
const root = generateTrustRoot({ directory: join(directory, "keys"), regions: ["eu", "us"] });
const recipients = parseRecipients(readFileSync(root.recipients, "utf8"));
let harness: PolicyHarness;
let policy: TestInstance;

beforeAll(async () => {
  harness = await startHarness();
}, 120_000);
beforeEach(async () => {
  await harness.reset();
  policy = await harness.start();
});
afterAll(async () => {
  await harness.stop();
  rmSync(directory, { recursive: true, force: true });
});

describe("setCredential()", () => {
  it("seals what is set for each region as the next version, whatever others did meanwhile, and zeroes the secret", async () => {
    await set("sk-one", ["eu", "us"]);
    const secret = Buffer.from("sk-two");
    const { version, regions } = await set(secret, ["eu"]);

    expect([version, regions.map((one) => [one.region, one.version])]).toEqual([
      2n,
      [
        ["eu", 2n],
        ["us", 1n],
      ],
    ]);
    expect([await readSealed("eu"), await readSealed("us")]).toEqual(["sk-two", "sk-one"]);
    expect(secret.every((byte) => byte === 0)).toBe(true);
  });

  it("lets two operators who set at the same time both succeed, one after the other", async () => {
    const set1 = set("sk-one", ["eu"]);
    const set2 = set("sk-two", ["eu"]);

    const versions = (await Promise.all([set1, set2])).map(({ version }) => version);

    expect(versions.toSorted()).toEqual([1n, 2n]);
  });

  it("passes on what policy refuses, with the secret zeroed all the same", async () => {
    const secret = Buffer.from("sk-one");

    await expect(set(secret, ["eu"], "Not A Name")).rejects.toThrow("name");

    expect(secret.every((byte) => byte === 0)).toBe(true);
  });
});

describe("waitUsed()", () => {
  it("says that routers do not use it when the time is over", async () => {
    const credential = await set("sk-one", ["eu"]);
    await policy.snapshots.reportSnapshot({
      region: "eu",
      instance: "eu-1",
      boot: "b1",
      build: "1",
      kind: 1,
      version: 1n,
      phase: 3,
    });
    await harness.pool.query("update instance set watched_at = now()");
    const held = [{ organisation: "acme", name: "openai", version: 0n, refusal: "it was changed" }];
    await policy.routerCredentials.reportCredentials({
      region: "eu",
      instance: "eu-1",
      boot: "b1",
      setVersion: 1n,
      held,
    });

    const waited = await waitUsed(policy.credentials, credential, 0);

    expect(waited.isUsed).toBe(false);
    expect(waited.credential.regions[0]?.laggards).toMatchObject([{ instance: "eu-1", refusal: "it was changed" }]);
  });
});

describe("readSecret()", () => {
  it.each([
    ["a line", "sk-1\n", "sk-1"],
    ["a JSON object, however it is laid out", '{\n  "accessKeyId": "A"\n}\n', '{"accessKeyId":"A"}'],
  ])("reads %s from a file", async (_, text, secret) => {
    writeFileSync(join(directory, "secret"), text);

    expect((await readSecret(join(directory, "secret"), "")).toString()).toBe(secret);
  });

  it.each(["", "two words", "one\r\nx-evil: 1", "x".repeat(9000)])(
    "refuses what is no secret, and repeats nothing of it (%#)",
    async (text) => {
      writeFileSync(join(directory, "secret"), text);

      await expect(readSecret(join(directory, "secret"), "")).rejects.toThrow(
        /^Cannot use secret: it is empty, longer/,
      );
    },
  );
});

function set(secret: string | Buffer, regions: readonly string[], name = "openai") {
  return setCredential(policy.credentials, {
    organisation: "acme",
    name,
    secret: typeof secret === "string" ? Buffer.from(secret) : secret,
    regions: regions.map((region) => ({ recipient: recipients.get(region)!, origins: [] })),
  });
}

async function readSealed(region: string): Promise<string> {
  const { rows } = await harness.pool.query("select content from credential_set where region = $1", [region]);
  const [sealed] = fromBinary(CredentialSetSchema, rows[0].content).credentials;
  const unwrapper = createRegionKeyUnwrapper(() =>
    parseRegionKeys(readFileSync(root.regionKey(region), "utf8"), region),
  );
  return (await openCredential(sealed!, unwrapper, AbortSignal.timeout(5_000))).toString();
}
