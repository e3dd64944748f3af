import { describe, expect, it } from "vitest";
import { Dialect } from "../../../gen/weir/policy/v1/policy_pb.ts";
import { Meter } from "../../../gen/weir/type/v1/usage_pb.ts";
import { generateNoteKey, parseSignerKey, parseVerifierKey } from "../note/note.ts";
import { KeyringTree, snapshotDigest } from "./digest.ts";
import { Keyring } from "./keyring.ts";
import { runAtOnce } from "./slices.ts";
import {
  SAMPLE_TRUST,
  sampleKeyEntry,
  sampleKeyring,
  sampleNote,
  sampleSnapshot,
  sampleTenantEntry,
} from "./snapshots.fixture.ts";
import {
  type VerifyContext,
  verifyKeyring as verifyKeyringSteps,
  verifySnapshot as verifySnapshotSteps,
} from "./verify.ts";

const verifySnapshot = (note: Uint8Array, content: Uint8Array, context: VerifyContext) =>
  runAtOnce(verifySnapshotSteps(note, content, context));
const verifyKeyring = (note: Uint8Array, tree: KeyringTree, context: VerifyContext, before?: Keyring) =>
  runAtOnce(verifyKeyringSteps(note, tree, context, before));

const context = { trust: SAMPLE_TRUST, region: "eu" };

const timeout = { seconds: 5n };
const createProvider = (id: string) => ({
  id,
  dialect: Dialect.OPENAI,
  baseUrl: "https://p.example",
  connectTimeout: timeout,
  firstTokenTimeout: timeout,
  idleTimeout: timeout,
  totalTimeout: timeout,
});
const PRICE = { meter: Meter.INPUT_TOKENS, nanosPerMillion: 1_000n };
const createTarget = (prices = [PRICE]) => ({
  id: "openai-eu/small",
  provider: "openai-eu",
  model: "gpt-5-mini",
  prices,
  maxOutputTokens: 1_000n,
});

function refusedAt(stage: string) {
  return expect.objectContaining({ verdict: "refused", stage });
}

describe("verify", () => {
  it("a signed, complete, newer snapshot of the region is verified", () => {
    const { note, content } = sampleSnapshot(3n);
    const held = { version: 2n, digest: new Uint8Array(32) };
    const verdict = verifySnapshot(note, content, { ...context, held });
    expect(verdict).toMatchObject({ verdict: "verified", head: { version: 3n }, snapshot: { organisation: "acme" } });
  });

  it("a stranger's signature is refused, and either key is enough while they are rotated", () => {
    const { note, content } = sampleSnapshot(1n);
    const next = generateNoteKey("weir.local/policy");
    expect(verifySnapshot(note, content, { ...context, trust: [parseVerifierKey(next.verifierKey)] })).toEqual(
      refusedAt("SIGNATURE"),
    );
    const head = { kind: "snapshot", version: 1n, digest: snapshotDigest(content) } as const;
    const rotated = sampleNote(head, parseSignerKey(next.signerKey));
    const trust = [...SAMPLE_TRUST, parseVerifierKey(next.verifierKey)];
    expect(verifySnapshot(rotated, content, { ...context, trust }).verdict).toBe("verified");
    expect(verifySnapshot(note, content, { ...context, trust }).verdict).toBe("verified");
  });

  it("any changed byte of the content is refused", () => {
    const { note, content } = sampleSnapshot(1n);
    for (let index = 0; index < content.length; index++) {
      const changed = Uint8Array.from(content);
      changed[index]! ^= 1;
      expect(verifySnapshot(note, changed, context)).toEqual(refusedAt("DIGEST"));
    }
  });

  it("what is older is stale, what is the same is unchanged, and two contents under one version are refused", () => {
    const { note, content } = sampleSnapshot(5n);
    const digest = snapshotDigest(content);
    expect(verifySnapshot(note, content, { ...context, held: { version: 6n, digest } })).toEqual(refusedAt("STALE"));
    expect(verifySnapshot(note, content, { ...context, held: { version: 5n, digest } }).verdict).toBe("unchanged");
    const other = { version: 5n, digest: new Uint8Array(32) };
    expect(verifySnapshot(note, content, { ...context, held: other })).toEqual(refusedAt("VERSION"));
  });

  it("a head of a keyring does not make a snapshot, nor one of another region or with an unknown feature", () => {
    const { content } = sampleSnapshot(1n);
    const digest = snapshotDigest(content);
    const head = { kind: "snapshot", version: 1n, digest } as const;
    const verify = (note: Uint8Array) => verifySnapshot(note, content, context);
    expect(verify(sampleNote({ ...head, kind: "keyring" }))).toEqual(refusedAt("KIND"));
    expect(verify(sampleNote({ ...head, region: "us" }))).toEqual(refusedAt("REGION"));
    expect(verify(sampleNote({ ...head, features: ["deny-rules"] }))).toEqual(refusedAt("FEATURE"));
    expect(
      verifySnapshot(sampleNote({ ...head, features: ["deny-rules"] }), content, {
        ...context,
        features: ["deny-rules"],
      }).verdict,
    ).toBe("verified");
  });

  it("signed nonsense is refused with the stage that found it", () => {
    const sign = (content: Uint8Array, version = 1n) =>
      sampleNote({ kind: "snapshot", version, digest: snapshotDigest(content) });
    const junk = Buffer.from("no snapshot");
    expect(verifySnapshot(sign(junk), junk, context)).toEqual(refusedAt("DECODE"));
    const empty = new Uint8Array();
    expect(verifySnapshot(sign(empty), empty, context)).toEqual(refusedAt("CONSTRAINT"));
    const { content } = sampleSnapshot(2n);
    expect(verifySnapshot(sign(content, 3n), content, context)).toEqual(refusedAt("VERSION"));
    const elsewhere = sampleSnapshot(1n, { region: "us" });
    expect(verifySnapshot(elsewhere.note, elsewhere.content, context)).toEqual(refusedAt("RESIDENCY"));
  });

  it.each([
    ["a target without its provider", { providers: [] }],
    ["a model that leads to no target", { targets: [] }],
    ["a provider twice", { providers: ["openai-eu", "openai-eu"].map(createProvider) }],
    ["a target twice", { targets: [createTarget(), createTarget()] }],
    ["a target with two prices for one meter", { targets: [createTarget([PRICE, PRICE])] }],
    ["a model twice", { models: ["a", "a"].map((id) => ({ id, routes: [{ target: "openai-eu/small" }] })) }],
  ])("%s is refused", (_, changes) => {
    const { note, content } = sampleSnapshot(1n, changes);
    expect(verifySnapshot(note, content, context)).toEqual(refusedAt("REFERENCE"));
  });

  it("C6: a required field that was left blank is refused, whichever it is", () => {
    const provider = createProvider("p");
    for (const field of ["id", "baseUrl", "connectTimeout", "firstTokenTimeout", "idleTimeout", "totalTimeout"]) {
      const { [field as "id"]: __, ...blank } = provider;
      const { note, content } = sampleSnapshot(1n, { providers: [blank], targets: [], models: [] });
      expect(verifySnapshot(note, content, context), field).toEqual(refusedAt("CONSTRAINT"));
    }
  });

  it("a keyring is verified over its entries, and one entry more, less or other is refused", () => {
    const entries = [sampleKeyEntry("aaaaaaaaaaaa"), sampleKeyEntry("bbbbbbbbbbbb"), sampleTenantEntry("acme/search")];
    const { note, tree } = sampleKeyring(1n, entries);
    expect(verifyKeyring(note, tree, context)).toMatchObject({ verdict: "verified", keyring: { size: 3 } });
    expect(verifyKeyring(note, tree.apply([], ["aaaaaaaaaaaa"]), context)).toEqual(refusedAt("DIGEST"));
    expect(verifyKeyring(note, tree.apply([sampleKeyEntry("cccccccccccc")]), context)).toEqual(refusedAt("DIGEST"));
    expect(verifyKeyring(note, tree.apply([sampleKeyEntry("aaaaaaaaaaaa", "x")]), context)).toEqual(
      refusedAt("DIGEST"),
    );
    expect(verifyKeyring(note, KeyringTree.EMPTY, context)).toEqual(refusedAt("DIGEST"));
  });

  it("what a keyring has that was verified before is not looked at again, and all that is new or other is", () => {
    const damaged = { id: "aaaaaaaaaaaa", grant: new Uint8Array() };
    const before = runAtOnce(Keyring.EMPTY.advanceSteps(sampleKeyring(1n, [damaged]).tree));

    const same = sampleKeyring(2n, [damaged, sampleKeyEntry("bbbbbbbbbbbb")]);
    expect(verifyKeyring(same.note, same.tree, context, before)).toMatchObject({ verdict: "verified" });
    const more = sampleKeyring(2n, [damaged, { id: "bbbbbbbbbbbb", grant: new Uint8Array() }]);
    expect(verifyKeyring(more.note, more.tree, context, before)).toEqual(refusedAt("DECODE"));
    const other = sampleKeyring(2n, [{ id: "aaaaaaaaaaaa", grant: Uint8Array.of(0xff) }]);
    expect(verifyKeyring(other.note, other.tree, context, before)).toEqual(refusedAt("DECODE"));
  });

  it.each([
    ["under the id of another key", { ...sampleKeyEntry("aaaaaaaaaaaa"), id: "bbbbbbbbbbbb" }],
    ["under the id of another tenant", { ...sampleTenantEntry("acme"), id: "tenant:other" }],
    ["of a malformed tenant", sampleKeyEntry("aaaaaaaaaaaa", "text", { team: "" })],
    ["that says nothing", { id: "aaaaaaaaaaaa", grant: new Uint8Array() }],
    ["that is no message", { id: "aaaaaaaaaaaa", grant: Uint8Array.of(0xff) }],
  ])("a signed entry %s is refused, also when it comes again", (_, entry) => {
    const { note, tree } = sampleKeyring(1n, [entry]);
    expect(verifyKeyring(note, tree, context)).toEqual(refusedAt("DECODE"));
    expect(verifyKeyring(note, tree, context)).toEqual(refusedAt("DECODE"));
  });
});
