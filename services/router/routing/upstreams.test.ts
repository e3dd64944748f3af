import { create } from "@bufbuild/protobuf";
import { DurationSchema } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import type { Snapshot } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { createSnapshot } from "../harness.fixture.ts";
import { UpstreamBook } from "./upstream-book.ts";
import { Upstreams } from "./upstreams.ts";

const SECRETS = new Map([["credential-0", "sk-0"]]);
const findSecret = (name: string) => SECRETS.get(name);
const snapshotOf = (...providers: string[]): Snapshot => createSnapshot({ providers, credentials: SECRETS });

describe("Upstreams", () => {
  it("makes everything that the calls to a provider have in common", () => {
    const snapshot = snapshotOf("https://api.example/openai/v1/");

    const upstream = new Upstreams(snapshot, findSecret).get(snapshot.targets[0]!);

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

    const upstreams = new Upstreams(snapshot, findSecret);

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
    const upstreams = new Upstreams(snapshot, findSecret);

    expect(upstreams.findRejection(snapshot.targets[0]!)).toBe("SETTING_INVALID");
    expect(() => upstreams.get(snapshot.targets[0]!)).toThrow();
  });

  it.each([["http://127.0.0.1:8080/v1"], ["http://127.5.5.5/v1"], ["http://localhost:1/v1"], ["http://[::1]:1/v1"]])(
    "allows plain text to %s",
    (baseUrl) => {
      const snapshot = snapshotOf(baseUrl);

      expect(new Upstreams(snapshot, findSecret).findRejection(snapshot.targets[0]!)).toBeUndefined();
    },
  );

  it("rejects the targets of a provider whose credential is missing, and of no other", () => {
    const snapshot = snapshotOf("https://a.example/v1", "https://b.example/v1");
    const { findRejection } = new Upstreams(snapshot, findSecret);

    expect(snapshot.targets.map(findRejection)).toEqual([undefined, "CREDENTIAL_MISSING"]);
  });
});

describe("UpstreamBook", () => {
  it("reads credentials when a snapshot is applied, and keeps those of a snapshot that a chat has pinned", () => {
    let secret = "sk-old";
    const book = new UpstreamBook(() => new Map([["credential-0", secret]]));
    const first = snapshotOf("https://a.example/v1");
    const second = snapshotOf("https://a.example/v1");

    const old = book.get(first).get(first.targets[0]!);
    secret = "sk-new";
    const renewed = book.renew(second).get(second.targets[0]!);

    expect([old.secret, renewed.secret]).toEqual(["sk-old", "sk-new"]);
    expect(book.get(first).get(first.targets[0]!)).toBe(old);
  });
});
