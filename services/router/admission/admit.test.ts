import { beforeEach, describe, expect, it } from "vitest";
import { LimitPer } from "../../../gen/weir/policy/v1/policy_pb.ts";
import { createEventId } from "../../shared/ids.ts";
import { createKey, createSecret, hashKey } from "../../shared/key/key.ts";
import { type PinnedPolicy, SnapshotHold } from "../../shared/snapshot/hold.ts";
import {
  SAMPLE_TRUST,
  sampleKeyEntry,
  sampleKeyring,
  sampleSnapshot,
  sampleTenantEntry,
} from "../../shared/snapshot/snapshots.fixture.ts";
import { type AskedCall, admit, identify, type PresentedKey } from "./admit.ts";
import { LimitCounters } from "./counters.ts";

const NOW_MS = Date.UTC(2026, 0, 1);
const seconds = (ms: number) => ({ seconds: BigInt(ms / 1000) });
const key = createKey("production");
let counters: LimitCounters;

beforeEach(() => {
  counters = new LimitCounters();
});

function pin(
  changes: Parameters<typeof sampleKeyEntry>[2] = {},
  limits: { id: string; per: LimitPer; requestsPerMinute: number }[] = [],
  tenants: string[] = [],
): PinnedPolicy {
  const hold = new SnapshotHold({ trust: SAMPLE_TRUST, region: "eu" });
  const { note, content } = sampleSnapshot(1n, { limits });
  hold.offerSnapshot(note, content);
  const keyring = sampleKeyring(1n, [sampleKeyEntry(key.keyId, key.text, changes), ...tenants.map(sampleTenantEntry)]);
  hold.offerKeyring(keyring.note, keyring.tree);
  return hold.current()!;
}

function ask(pinned: PinnedPolicy, call: Partial<AskedCall & PresentedKey> = {}) {
  const { headers = { authorization: `Bearer ${key.text}` }, nowMs = NOW_MS, getKeyringAgeMs, ...asked } = call;
  const proven = identify(pinned, { headers, nowMs, getKeyringAgeMs });
  if (proven.kind === "denial") return proven;
  return admit(pinned, counters, { model: "small", eventId: createEventId(NOW_MS), nowMs, proven, ...asked });
}

const denied = (reason: string) => expect.objectContaining({ kind: "denial", reason });

describe("admit()", () => {
  it("a good key that asks for a model it may use is admitted with its caller, plan and policy", () => {
    const pinned = pin();
    const admission = ask(pinned);
    expect(admission).toMatchObject({
      kind: "admission",
      caller: { identity: { value: key.keyId }, organisation: "acme", team: "search", app: "answers" },
      plan: { candidates: [{ target: { id: "openai-eu/small" } }] },
      limits: [],
    });
    expect((admission as { pinned: PinnedPolicy }).pinned).toBe(pinned);
  });

  it.each([
    ["x-api-key", { xApiKey: key.text }],
    ["api-key", { apiKey: key.text }],
    ["a bearer in lower case", { authorization: `bearer  ${key.text}` }],
  ])("a key by %s is taken", (_, headers) => {
    expect(ask(pin(), { headers }).kind).toBe("admission");
  });

  const other = createKey("production");
  it.each([
    ["no key", {}, "KEY_MISSING"],
    ["an empty key", { authorization: "Bearer " }, "KEY_MISSING"],
    ["another scheme", { authorization: `Basic ${key.text}` }, "KEY_MISSING"],
    ["a mistyped key", { authorization: `Bearer ${key.text.slice(0, -1)}!` }, "KEY_MALFORMED"],
    ["another product's key", { authorization: "Bearer sk-abcdef" }, "KEY_MALFORMED"],
    ["a key of nobody", { authorization: `Bearer ${other.text}` }, "KEY_UNKNOWN"],
    ["a wrong key before a right one", { authorization: `Bearer ${other.text}`, xApiKey: key.text }, "KEY_UNKNOWN"],
    ["a megabyte by x-api-key", { xApiKey: "x".repeat(1 << 20) }, "KEY_MISSING"],
    ["another scheme before a right key", { authorization: "Basic dXNlcg==", xApiKey: key.text }, "KEY_MISSING"],
    ["a megabyte", { authorization: `Bearer ${"x".repeat(1 << 20)}` }, "KEY_MISSING"],
  ])("%s is denied, with no caller to write down", (_, headers, reason) => {
    const denial = ask(pin(), { headers });
    expect(denial).toEqual(denied(reason));
    expect(denial).not.toHaveProperty("caller");
  });

  it("a wrong secret under a known id is denied as an unknown key is, word for word", () => {
    const pinned = pin();
    const keyring = sampleKeyring(2n, [sampleKeyEntry(key.keyId, "another text")]);
    const hold = new SnapshotHold({ trust: SAMPLE_TRUST, region: "eu" });
    const { note, content } = sampleSnapshot(1n);
    hold.offerSnapshot(note, content);
    hold.offerKeyring(keyring.note, keyring.tree);
    expect(ask(hold.current()!)).toEqual(ask(pinned, { headers: { authorization: `Bearer ${other.text}` } }));
  });

  it("a revoked, an expired and a disabled tenant's key are denied, each with its reason", () => {
    expect(ask(pin({ revokedAt: seconds(NOW_MS - 1_000) }))).toEqual(denied("KEY_REVOKED"));
    expect(ask(pin({ expiresAt: seconds(NOW_MS) }))).toEqual(denied("KEY_EXPIRED"));
    expect(ask(pin({ expiresAt: seconds(NOW_MS + 1_000) })).kind).toBe("admission");
    for (const tenant of ["acme", "acme/search", "acme/search/answers"]) {
      expect(ask(pin({}, [], [tenant]))).toEqual(denied("TENANT_DISABLED"));
    }
    expect(ask(pin({}, [], ["acme/sea", "other"])).kind).toBe("admission");
  });

  it("a disabled key and one for other regions are denied, each with its reason and its caller", () => {
    expect(ask(pin({ disabledAt: seconds(NOW_MS) }))).toMatchObject({
      reason: "KEY_DISABLED",
      caller: { team: "search" },
    });
    expect(ask(pin({ regions: ["us"] }))).toMatchObject({
      reason: "KEY_REGION_NOT_ALLOWED",
      facts: { region: "eu" },
      caller: { team: "search" },
    });
    expect(ask(pin({ regions: ["eu", "us"] })).kind).toBe("admission");
  });

  it("a key that is rotated is taken by its new secret for ever and by the old one until its time is over", () => {
    const old = createKey("production");
    const expiresAt = seconds(NOW_MS + 1_000);
    const pinned = pin({ secrets: [{ sha256: hashKey(old.text), expiresAt }] });
    // Of the same id, as a rotation makes it.
    const secret = createSecret("production", key.keyId).text;
    const rotated = pin({ secrets: [{ sha256: hashKey(secret), expiresAt }] });
    const headers = { authorization: `Bearer ${secret}`, connection: {} };

    expect(ask(pinned, { nowMs: NOW_MS + 9_000 }).kind).toBe("admission");
    expect(ask(rotated, { headers }).kind).toBe("admission");
    expect(ask(rotated, { headers, nowMs: NOW_MS + 999 }).kind).toBe("admission");
    expect(ask(rotated, { headers, nowMs: NOW_MS + 1_000 })).toMatchObject({
      reason: "KEY_EXPIRED",
      caller: { team: "search" },
    });
  });

  it("a strict key is denied once the keyring was not confirmed for longer than it says, or nobody knows", () => {
    const pinned = pin({ strictAfter: { seconds: 30n } });
    expect(ask(pinned, { getKeyringAgeMs: () => 30_000 }).kind).toBe("admission");
    expect(ask(pinned, { getKeyringAgeMs: () => 30_001 })).toMatchObject({
      reason: "KEYRING_STALE",
      facts: { strict_after_seconds: "30" },
      retryAfterMs: 5_000,
      caller: { team: "search" },
    });
    expect(ask(pinned)).toEqual(denied("KEYRING_STALE"));
    expect(ask(pin(), { getKeyringAgeMs: () => Number.POSITIVE_INFINITY }).kind).toBe("admission");
  });

  it("a denial of a proven key names its caller, so that it can be counted", () => {
    expect(ask(pin(), { model: "large" })).toMatchObject({ reason: "MODEL_UNKNOWN", caller: { team: "search" } });
    expect(ask(pin({ models: ["tiny"] }))).toMatchObject({ reason: "MODEL_NOT_ALLOWED", caller: { team: "search" } });
    expect(ask(pin({ models: [] }))).toEqual(denied("MODEL_NOT_ALLOWED"));
  });

  it("the key's own limit and the policy's count together, and a refusal says when to come back", () => {
    const pinned = pin({ requestsPerMinute: 5 }, [{ id: "fair", per: LimitPer.TEAM, requestsPerMinute: 2 }]);
    expect(ask(pinned)).toMatchObject({ limits: [{ id: "fair", subject: "acme/search" }, { id: "key" }] });
    expect(ask(pinned).kind).toBe("admission");
    expect(ask(pinned)).toMatchObject({
      reason: "RATE_LIMITED",
      retryAfterMs: 30_000,
      facts: { limit: "fair", requests_per_minute: "2" },
      caller: { team: "search" },
    });
    expect(ask(pinned, { nowMs: NOW_MS + 30_000 }).kind).toBe("admission");
  });

  it("limits of the same tenant count apart", () => {
    const pinned = pin({}, [
      { id: "a-tight", per: LimitPer.TEAM, requestsPerMinute: 1 },
      { id: "b-wide", per: LimitPer.TEAM, requestsPerMinute: 100 },
    ]);
    ask(pinned);
    expect(ask(pinned)).toMatchObject({ facts: { limit: "a-tight" }, retryAfterMs: 60_000 });
  });

  it("the limits of a newer policy count a key that was counted before", () => {
    const hold = new SnapshotHold({ trust: SAMPLE_TRUST, region: "eu" });
    const publish = (version: bigint, requestsPerMinute: number) => {
      const limits = [{ id: "fair", per: LimitPer.TEAM, requestsPerMinute }];
      const { note, content } = sampleSnapshot(version, { limits });
      hold.offerSnapshot(note, content);
    };
    const keyring = sampleKeyring(1n, [sampleKeyEntry(key.keyId, key.text)]);
    hold.offerKeyring(keyring.note, keyring.tree);
    publish(1n, 100);
    ask(hold.current()!);

    publish(2n, 1);

    expect(ask(hold.current()!)).toMatchObject({ reason: "RATE_LIMITED", facts: { requests_per_minute: "1" } });
  });

  it("what is denied for another reason uses up no limit", () => {
    const pinned = pin({ requestsPerMinute: 1 });
    for (let index = 0; index < 10; index++) ask(pinned, { model: "large" });
    expect(ask(pinned).kind).toBe("admission");
  });
});
