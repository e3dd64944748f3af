import { describe, expect, it } from "vitest";
import type { KeyUnwrapper } from "../../shared/credential/key-wrapper.ts";
import { TestKms } from "../../shared/credential/kms.fixture.ts";
import { generateRegionKey, parseRecipients, type Recipient } from "../../shared/credential/region-key.ts";
import { createRegionKeyWrapper } from "../../shared/credential/region-key-wrapper.ts";
import { createSigner } from "../../shared/note/note.ts";
import { CredentialHold } from "./hold.ts";
import { seal, signSet, TRUST, UNWRAPPER } from "./sets.fixture.ts";

const stranger = createSigner("weir.test/policy", new Uint8Array(32).fill(8));

describe("CredentialHold", () => {
  it("opens what its region was sent, and hands out another function for each change", async () => {
    const hold = createHold();
    const before = hold.current();

    expect(await hold.offer(signSet(1n, [await seal("openai", 1n, "sk-1")]))).toMatchObject({ verdict: "applied" });

    expect(secretOf(hold, "openai")).toBe("sk-1");
    expect(hold.current()).not.toBe(before);
    expect(hold.current()("rival", "openai")).toBeUndefined();
    expect(hold.list()).toEqual([{ organisation: "acme", name: "openai", version: 1n, refusal: "" }]);
  });

  it("keeps the function as long as all credentials are the same, so that nothing is made anew", async () => {
    const hold = createHold();
    const sealed = await seal("openai", 1n, "sk-1");
    await hold.offer(signSet(1n, [sealed]));
    const before = hold.current();

    expect(await hold.offer(signSet(2n, [sealed]))).toMatchObject({ verdict: "applied" });

    expect(hold.current()).toBe(before);
    expect(hold.sealed?.version).toBe(2n);
  });

  it("lets go of what is no longer in the set", async () => {
    const hold = createHold();
    await hold.offer(signSet(1n, [await seal("openai", 1n, "sk-1")]));

    await hold.offer(signSet(2n, []));

    expect(secretOf(hold, "openai")).toBeUndefined();
    expect(hold.list()).toEqual([]);
  });

  it.each([
    [
      "that a stranger signed",
      async () => signSet(3n, [await seal("openai", 3n, "sk-evil")], { signer: stranger }),
      "SIGNATURE",
    ],
    ["of another region", async () => signSet(3n, [], { region: "us" }), "REGION"],
    ["that is a snapshot's head", async () => signSet(3n, [], { kind: "snapshot" }), "KIND"],
    ["that is older", async () => signSet(1n, [await seal("openai", 1n, "sk-old")]), "STALE"],
    [
      "of the same version with another content",
      async () => signSet(2n, [await seal("openai", 9n, "sk-x")]),
      "VERSION",
    ],
    [
      "with another content than its head's",
      async () => ({ ...signSet(3n, []), content: signSet(4n, []).content }),
      "DIGEST",
    ],
    [
      "with one credential twice",
      async () => signSet(3n, [await seal("a", 1n, "s"), await seal("a", 2n, "s")]),
      "CONSTRAINT",
    ],
    ["that requires what this build lacks", async () => signSet(3n, [], { features: ["later"] }), "FEATURE"],
  ])("refuses a set %s, and goes on with what it has", async (_, make, stage) => {
    const hold = createHold();
    await hold.offer(signSet(2n, [await seal("openai", 2n, "sk-2")]));

    expect(await hold.offer(await make())).toMatchObject({ verdict: "refused", stage });

    expect(secretOf(hold, "openai")).toBe("sk-2");
    expect(hold.sealed?.version).toBe(2n);
  });

  it("goes on with the credential before when a newer one does not open, and takes the others", async () => {
    const hold = createHold();
    await hold.offer(signSet(1n, [await seal("openai", 1n, "sk-1")]));
    const other = createRegionKeyWrapper(parseRecipients(generateRegionKey("eu").recipient).get("eu") as Recipient);
    const moved = await seal("anthropic", 3n, "sk-other");
    moved.name = "gemini";

    await hold.offer(signSet(2n, [await seal("openai", 2n, "sk-2", other), await seal("aws", 1n, "{\n}"), moved]));

    expect([secretOf(hold, "openai"), secretOf(hold, "aws"), secretOf(hold, "gemini")]).toEqual([
      "sk-1",
      "{}",
      undefined,
    ]);
    expect(hold.list().map(({ name, version, refusal }) => [name, version, refusal !== ""])).toEqual([
      ["openai", 1n, true],
      ["aws", 1n, false],
      ["gemini", 0n, true],
    ]);
    expect(JSON.stringify(hold.list(), (_, value) => String(value))).not.toContain("sk-");
  });

  it("does not take an older credential for a newer one, be it in a newer set", async () => {
    const hold = createHold();
    const old = await seal("openai", 1n, "sk-1");
    await hold.offer(signSet(1n, [await seal("openai", 2n, "sk-2")]));

    await hold.offer(signSet(2n, [old]));

    expect(secretOf(hold, "openai")).toBe("sk-2");
    expect(hold.list()[0]?.refusal).toContain("it is older than version 2");
  });

  it.each([
    ["is empty", " \n"],
    ["has two lines", "one\r\nx-evil: 1"],
    ["has other letters than ASCII", "schlüssel"],
  ])("refuses a secret that %s, and quotes none of it", async (_, secret) => {
    const hold = createHold();

    await hold.offer(signSet(1n, [await seal("openai", 1n, secret)]));

    expect(hold.list()).toMatchObject([{ version: 0n, refusal: expect.stringContaining("printable ASCII") }]);
    expect(hold.list()[0]?.refusal).not.toContain(secret.trim() || "\n");
  });

  it("waits for a key management service that is away, and opens when it is back", async () => {
    const kms = new TestKms();
    const sealed = await seal("openai", 1n, "sk-1", kms);
    const hold = createHold(kms);
    kms.failures = 2;

    await hold.offer(signSet(1n, [sealed]));
    const first = secretOf(hold, "openai");
    await hold.reopen();
    const second = hold.hasRefusals;
    await hold.reopen();

    expect([first, second, hold.hasRefusals]).toEqual([undefined, true, false]);
    expect(secretOf(hold, "openai")).toBe("sk-1");
  });

  it("takes offers one after the other, so that an older set never overtakes a newer one that is being opened", async () => {
    const kms = new TestKms();
    const hold = createHold(kms);
    const [first, second] = [await seal("openai", 1n, "sk-1", kms), await seal("openai", 2n, "sk-2", kms)];

    const verdicts = await Promise.all([hold.offer(signSet(2n, [second])), hold.offer(signSet(1n, [first]))]);

    expect(verdicts).toMatchObject([{ verdict: "applied" }, { verdict: "refused", stage: "STALE" }]);
    expect(secretOf(hold, "openai")).toBe("sk-2");
  });
});

function createHold(unwrapper: KeyUnwrapper = UNWRAPPER): CredentialHold {
  return new CredentialHold({ trust: TRUST, region: "eu", unwrapper, signal: new AbortController().signal });
}

function secretOf(hold: CredentialHold, name: string): string | undefined {
  return hold.current()("acme", name)?.secret;
}
