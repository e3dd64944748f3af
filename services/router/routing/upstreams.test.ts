import { create } from "@bufbuild/protobuf";
import { DurationSchema } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import type { Snapshot } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { createSnapshot, TestCredentials } from "../harness.fixture.ts";
import { UpstreamBook } from "./upstream-book.ts";
import { Upstreams } from "./upstreams.ts";

const SECRETS = new Map([["credential-0", "sk-0"]]);
const findCredential = new TestCredentials(SECRETS).current();
const snapshotOf = (...providers: string[]): Snapshot => createSnapshot({ providers, credentials: SECRETS });

describe("Upstreams", () => {
  it("makes everything that the calls to a provider have in common", () => {
    const snapshot = snapshotOf("https://api.example/openai/v1/");

    const upstream = new Upstreams(snapshot, findCredential).get(snapshot.targets[0]!);

    expect(upstream).toMatchObject({
      origin: "https://api.example",
      secret: "sk-0",
      connectTimeoutMs: 5_000,
      timeouts: { connectMs: 5_000, firstTokenMs: 20_000, idleMs: 20_000, totalMs: 60_000 },
    });
    expect(upstream.ways.typed.getPath("any", true)).toBe("/openai/v1/chat/completions");
    expect(upstream.ways.typed.headers).toEqual(expect.arrayContaining(["authorization", "Bearer sk-0"]));
  });

  it("has a target wait as its own timeouts say, and connects as patiently as the most patient one", () => {
    const snapshot = snapshotOf("https://a.example/v1", "https://b.example/v1");
    const own = snapshot.targets[0]!;
    own.connectTimeout = create(DurationSchema, { seconds: 9n });
    own.idleTimeout = create(DurationSchema, { nanos: 1_500_000 });

    const upstreams = new Upstreams(snapshot, findCredential);

    expect(upstreams.getTimeouts(own)).toEqual({ connectMs: 9_000, firstTokenMs: 20_000, idleMs: 2, totalMs: 60_000 });
    expect(upstreams.get(own).connectTimeoutMs).toBe(9_000);
    expect(upstreams.get(own).timeouts.idleMs).toBe(20_000);
  });

  it.each([
    ["http://provider.example/v1"],
    ["http://169.254.169.254/v1"],
    ["http://127.0.0.1.nip.io/v1"],
    ["https://user:pass@provider.example/v1"],
    ["https://provider.example/v1?key=1"],
    ["https://provider.example/v1#x"],
    ["file:///etc/passwd"],
    ["provider.example"],
  ])("sends no credential to %s", (baseUrl) => {
    const snapshot = snapshotOf(baseUrl);
    const upstreams = new Upstreams(snapshot, findCredential);

    expect(upstreams.findRejection(snapshot.targets[0]!)).toBe("SETTING_INVALID");
    expect(() => upstreams.get(snapshot.targets[0]!)).toThrow();
  });

  it.each([["http://127.0.0.1:8080/v1"], ["http://127.5.5.5/v1"], ["http://localhost:1/v1"], ["http://[::1]:1/v1"]])(
    "allows plain text to %s",
    (baseUrl) => {
      const snapshot = snapshotOf(baseUrl);

      expect(new Upstreams(snapshot, findCredential).findRejection(snapshot.targets[0]!)).toBeUndefined();
    },
  );

  it("rejects the targets of a provider whose credential is missing, and of no other", () => {
    const snapshot = snapshotOf("https://a.example/v1", "https://b.example/v1");
    const { findRejection } = new Upstreams(snapshot, findCredential);

    expect(snapshot.targets.map(findRejection)).toEqual([undefined, "CREDENTIAL_MISSING"]);
  });

  it("sends a credential that was sealed for other origins to none of a provider, whatever the policy says", () => {
    const snapshot = snapshotOf("https://evil.example/v1");
    const sealedFor = (...origins: string[]) => new Upstreams(snapshot, () => ({ secret: "sk-0", origins }));

    const upstreams = sealedFor("https://api.example", "https://evil.example:8443");

    expect(upstreams.unusable).toEqual([
      {
        id: "p0",
        reason: "CREDENTIAL_REFUSED",
        state: 'its credential "credential-0" may not be sent to https://evil.example',
      },
    ]);
    expect(sealedFor("https://evil.example").unusable).toEqual([]);
  });
});

describe("UpstreamBook", () => {
  it("makes upstreams anew when credentials changed, and keeps those of a chat that took them before", () => {
    const credentials = new TestCredentials(new Map([["credential-0", "sk-old"]]));
    const book = new UpstreamBook(() => credentials.current());
    const snapshot = snapshotOf("https://a.example/v1");
    const target = snapshot.targets[0]!;

    const old = book.get(snapshot);
    const same = book.renew(snapshot);
    credentials.replace(new Map([["credential-0", "sk-new"]]));
    const pinned = book.get(snapshot);
    const renewed = book.renew(snapshot);

    expect([same, pinned]).toEqual([old, old]);
    expect([old, renewed].map((upstreams) => upstreams.get(target).secret)).toEqual(["sk-old", "sk-new"]);
    expect(book.get(snapshot)).toBe(renewed);
  });
});
