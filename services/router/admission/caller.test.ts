import crypto from "node:crypto";
import { syncBuiltinESMExports } from "node:module";
import { crc32 } from "node:zlib";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import fc from "fast-check";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { KeyGrantSchema, KeyringGrantSchema } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { createKey, createSecret, hashKey } from "../../shared/key/key.ts";
import { SnapshotHold } from "../../shared/snapshot/hold.ts";
import {
  SAMPLE_TRUST,
  sampleKeyEntry,
  sampleKeyring,
  sampleSnapshot,
} from "../../shared/snapshot/snapshots.fixture.ts";
import { findCaller } from "./caller.ts";

const key = createKey("production");
const other = createKey("production");
const authorization = `Bearer ${key.text}`;

/** A keyring with both keys, the first one with changes. */
function createKeyring(changes: Parameters<typeof sampleKeyEntry>[2] = {}) {
  const hold = new SnapshotHold({ trust: SAMPLE_TRUST, region: "eu" });
  const { note, content } = sampleSnapshot(1n, {});
  hold.offerSnapshot(note, content);
  const entries = [sampleKeyEntry(key.keyId, key.text, changes), sampleKeyEntry(other.keyId, other.text)];
  const { note: head, tree } = sampleKeyring(1n, entries);
  hold.offerKeyring(head, tree);
  return hold.current()!.keyring;
}

/** The id of who was found, or why nobody was. */
function find(keyring: ReturnType<typeof createKeyring>, presented: string, connection: object): string {
  const found = findCaller(keyring, { authorization: presented, connection });
  return found.kind === "denial" ? found.reason : found.grant.keyId;
}

describe("findCaller(), on a connection where a key was proven before", () => {
  it("finds the same caller by the same key again", () => {
    const [keyring, connection] = [createKeyring(), {}];

    expect([1, 2, 3].map(() => find(keyring, authorization, connection))).toEqual([key.keyId, key.keyId, key.keyId]);
  });

  it("finds the caller of another key, and each of both by turns", () => {
    const [keyring, connection] = [createKeyring(), {}];
    const presented = [authorization, `Bearer ${other.text}`, authorization];

    expect(presented.map((one) => find(keyring, one, connection))).toEqual([key.keyId, other.keyId, key.keyId]);
  });

  it.each([
    ["one letter more", `${authorization}x`],
    ["one letter less", authorization.slice(0, -1)],
    ["a letter of the secret changed", authorization.replace(/.(?=.{20}$)/, (letter) => (letter === "A" ? "B" : "A"))],
    ["letters that are the same in their last eight bits", authorization.replaceAll("w", "\u0177")],
  ])("refuses the key with %s", (_, presented) => {
    const [keyring, connection] = [createKeyring(), {}];
    find(keyring, authorization, connection);

    expect(["KEY_MALFORMED", "KEY_UNKNOWN"]).toContain(find(keyring, presented, connection));
  });

  it("refuses the key as soon as a newer keyring says that it was revoked", () => {
    const connection = {};
    find(createKeyring(), authorization, connection);

    expect(find(createKeyring({ revokedAt: { seconds: 1n } }), authorization, connection)).toBe("KEY_REVOKED");
  });

  it("asks for a key on every request: the connection alone proves nobody", () => {
    const [keyring, connection] = [createKeyring(), {}];
    find(keyring, authorization, connection);

    expect(findCaller(keyring, { connection })).toMatchObject({ kind: "denial", reason: "KEY_MISSING" });
  });
});

describe("findCaller(), of what is no key of anybody", () => {
  /** Everything of a key but its secret is known to who has the database, a snapshot, or a log. */
  const [environment, keyId] = ["production", key.keyId];
  const withCheck = (body: string) => `${body}_${(crc32(body) % 36 ** 6).toString(36).padStart(6, "0")}`;
  const secretText = fc.string({ unit: fc.constantFrom(..."ABCabc019-_"), minLength: 43, maxLength: 43 });

  it("proves nobody by prefix, id, checksum or hash, whatever else is presented", () => {
    const keyring = createKeyring();
    const grant = keyring.find(keyId)!;
    const hash = Buffer.from(grant.secretSha256s[0]!);
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: "binary" }),
          fc.string({ unit: "binary" }).map((rest) => `weir_${environment}_${keyId}_${rest}`),
          secretText.map((secret) => withCheck(`weir_${environment}_${keyId}_${secret}`)),
          fc.nat(key.text.length).map((end) => key.text.slice(0, end)),
          fc.nat(key.text.length - 1).map((at) => `${key.text.slice(0, at)}\0${key.text.slice(at + 1)}`),
          fc.constantFrom(keyId, hash.toString("hex"), hash.toString("base64"), hash.toString("latin1")),
          fc.constantFrom(
            withCheck(`weir_${environment}_${keyId}_${hash.toString("base64url")}`),
            `${key.text} ${key.text}`,
          ),
        ),
        (presented) => {
          fc.pre(presented.trim() !== key.text);
          for (const headers of [
            { authorization: `Bearer ${presented}` },
            { xApiKey: presented },
            { apiKey: presented },
          ]) {
            expect(findCaller(keyring, headers).kind).toBe("denial");
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  it("answers a wrong secret under a known id as an id that nobody has", () => {
    const keyring = createKeyring();
    fc.assert(
      fc.property(secretText, (secret) => {
        const [known, unknown] = [keyId, "aaaaaaaaaaaa"].map((id) => withCheck(`weir_${environment}_${id}_${secret}`));
        expect(findCaller(keyring, { xApiKey: known })).toEqual(findCaller(keyring, { xApiKey: unknown }));
      }),
    );
  });

  it("S6: does the same hashes and comparisons for an id that nobody has as for a wrong secret, and for a good one, however often it is asked", () => {
    const keyring = createKeyring();
    const text = withCheck(`weir_${environment}_${keyId}_${"A".repeat(43)}`);
    const [hash, timingSafeEqual] = [vi.spyOn(crypto, "hash"), vi.spyOn(crypto, "timingSafeEqual")];
    syncBuiltinESMExports();
    onTestFinished(() => {
      vi.restoreAllMocks();
      syncBuiltinESMExports();
    });
    const presented = [createKey("production").text, text, key.text, createKey("production").text, text, key.text];

    const work = presented.map((xApiKey) => {
      hash.mockClear();
      timingSafeEqual.mockClear();
      findCaller(keyring, { xApiKey });
      return {
        hashed: hash.mock.calls.map(([algorithm, data]) => [algorithm, Buffer.byteLength(data)]),
        compared: timingSafeEqual.mock.calls.map((sides) => sides.map(({ byteLength }) => byteLength)),
      };
    });

    const once = {
      hashed: [
        ["sha256", keyId.length],
        ["sha256", key.text.length],
      ],
      compared: [
        [32, 32],
        [32, 32],
      ],
    };
    expect(work).toEqual(presented.map(() => once));
  });
});

describe("findCaller(), of a key that policy has signed with a blank field", () => {
  const whole = create(KeyGrantSchema, {
    ...{ keyId: key.keyId, organisation: "acme", team: "search", app: "answers", environment: "production" },
    ...{ models: ["*"], regions: ["eu"], tools: { names: ["search"] }, strictAfter: { seconds: 30n } },
    secretSha256s: [hashKey(key.text)],
    secrets: [{ sha256: hashKey(other.text), expiresAt: { seconds: 4_000_000_000n } }],
  });

  it("C6: refuses the keyring or gives the key no more than it had, and throws for nobody who presents it", () => {
    const blanked = ["secrets.sha256", ...reflect(KeyGrantSchema, whole).fields.map(({ localName }) => localName)];
    for (const field of blanked) {
      const grant = fromBinary(KeyGrantSchema, toBinary(KeyGrantSchema, whole));
      const message = reflect(KeyGrantSchema, grant);
      if (field === "secrets.sha256") grant.secrets[0]!.sha256 = new Uint8Array();
      else message.clear(message.fields.find(({ localName }) => localName === field)!);
      const hold = new SnapshotHold({ trust: SAMPLE_TRUST, region: "eu" });
      const entry = toBinary(KeyringGrantSchema, create(KeyringGrantSchema, { entry: { case: "key", value: grant } }));
      const { note, tree } = sampleKeyring(1n, [{ id: key.keyId, grant: entry }]);

      const offered = hold.offerKeyring(note, tree);

      if (/^(keyId|organisation|team|app|environment|secrets\.sha256)$/.test(field)) {
        expect(offered, field).toMatchObject({ verdict: "refused", stage: "DECODE" });
        continue;
      }
      expect(offered.verdict, field).toBe("applied");
      const found = [key.text, createSecret("production", key.keyId).text].map((xApiKey) =>
        findCaller(hold.heldKeyring()!.keyring, { xApiKey }),
      );
      expect(found, field).toMatchObject([
        field === "secretSha256s" ? { reason: "KEY_UNKNOWN" } : { kind: "caller" },
        { reason: "KEY_UNKNOWN" },
      ]);
    }
  });
});
