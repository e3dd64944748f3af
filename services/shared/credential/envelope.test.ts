import {
  createCipheriv,
  createHmac,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
} from "node:crypto";
import { clone, create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { type SealedCredential, SealedCredentialSchema } from "../../../gen/weir/policy/v1/credential_service_pb.ts";
import { type CredentialSubject, openCredential, sealCredential } from "./envelope.ts";
import type { KeyUnwrapper, KeyWrapper } from "./key-wrapper.ts";
import { TestKms } from "./kms.fixture.ts";
import { generateRegionKey, parseRecipients, parseRegionKeys, type Recipient } from "./region-key.ts";
import { createRegionKeyUnwrapper, createRegionKeyWrapper } from "./region-key-wrapper.ts";

const SECRET = Buffer.from("sk-the-secret-of-openai");
const SUBJECT: CredentialSubject = {
  organisation: "acme",
  name: "openai",
  region: "eu",
  version: 3n,
  origins: ["https://api.openai.com"],
};
const { signal } = new AbortController();
const key = generateRegionKey("eu");
const recipient = parseRecipients(key.recipient).get("eu") as Recipient;
const openers: [string, () => { wrapper: KeyWrapper; unwrapper: KeyUnwrapper }][] = [
  [
    "a region key",
    () => ({
      wrapper: createRegionKeyWrapper(recipient),
      unwrapper: createRegionKeyUnwrapper(() => parseRegionKeys(key.privateKey, "eu")),
    }),
  ],
  [
    "a key management service",
    () => {
      const kms = new TestKms();
      return { wrapper: kms, unwrapper: kms };
    },
  ],
];

describe.each(openers)("an envelope for %s", (_, make) => {
  it("opens as what it was sealed as, and holds nothing of the secret", async () => {
    const { wrapper, unwrapper } = make();
    const sealed = await sealCredential(SECRET, SUBJECT, wrapper, signal);

    expect((await openCredential(sealed, unwrapper, signal)).equals(SECRET)).toBe(true);
    expect(Buffer.concat([sealed.ciphertext, sealed.wrappedKey]).includes(SECRET)).toBe(false);
    expect((await sealCredential(SECRET, SUBJECT, wrapper, signal)).ciphertext).not.toEqual(sealed.ciphertext);
  });

  it.each([
    ["organisation", () => ({ organisation: "rival" })],
    ["name", () => ({ name: "anthropic" })],
    ["region", () => ({ region: "us" })],
    ["version", () => ({ version: 4n })],
    ["origin", () => ({ origins: ["https://evil.example"] })],
    ["lack of origins", () => ({ origins: [] })],
    ["key id", () => ({ keyId: "0123456789abcdef" })],
    ["nonce", (sealed) => ({ nonce: flip(sealed.nonce) })],
    ["wrapped key", (sealed) => ({ wrappedKey: flip(sealed.wrappedKey) })],
    ["encapsulated key", (sealed) => ({ wrappedKey: flip(sealed.wrappedKey, 0) })],
    ["ciphertext", (sealed) => ({ ciphertext: flip(sealed.ciphertext, 0) })],
    ["tag", (sealed) => ({ ciphertext: flip(sealed.ciphertext) })],
    ["half of it", (sealed) => ({ ciphertext: sealed.ciphertext.subarray(0, 10) })],
    ["half of the key", (sealed) => ({ wrappedKey: sealed.wrappedKey.subarray(0, 20) })],
    ["nonce of no size", () => ({ nonce: new Uint8Array() })],
  ] satisfies [string, (sealed: SealedCredential) => Partial<SealedCredential>][])(
    "S2: does not open with another %s",
    async (_what, change) => {
      const { wrapper, unwrapper } = make();
      const sealed = clone(SealedCredentialSchema, await sealCredential(SECRET, SUBJECT, wrapper, signal));
      Object.assign(sealed, change(sealed));

      await expect(openCredential(sealed, unwrapper, signal)).rejects.toMatchObject({ reason: "CREDENTIAL_REFUSED" });
    },
  );

  it("S2: does not take the context's parts for one another", async () => {
    const { wrapper, unwrapper } = make();
    const subject = { ...SUBJECT, organisation: "acmeo", name: "penai" };
    const sealed = await sealCredential(SECRET, subject, wrapper, signal);
    const moved = clone(SealedCredentialSchema, sealed);
    moved.organisation = "acme";
    moved.name = "openai";

    await expect(openCredential(moved, unwrapper, signal)).rejects.toMatchObject({ reason: "CREDENTIAL_REFUSED" });
  });
});

describe("createRegionKeyUnwrapper()", () => {
  it("finds a key that was added to the file while it ran", async () => {
    const next = generateRegionKey("eu");
    let file = key.privateKey;
    const unwrapper = createRegionKeyUnwrapper(() => parseRegionKeys(file, "eu"));
    const old = await sealCredential(SECRET, SUBJECT, createRegionKeyWrapper(recipient), signal);
    const wrapper = createRegionKeyWrapper(parseRecipients(next.recipient).get("eu") as Recipient);
    const sealed = await sealCredential(SECRET, SUBJECT, wrapper, signal);
    await expect(openCredential(sealed, unwrapper, signal)).rejects.toMatchObject({ reason: "CREDENTIAL_REFUSED" });

    file = `${key.privateKey}\n${next.privateKey}\n`;

    expect((await openCredential(sealed, unwrapper, signal)).equals(SECRET)).toBe(true);
    expect((await openCredential(old, unwrapper, signal)).equals(SECRET)).toBe(true);
  });

  it("takes a file that can't be read for one that may come back", async () => {
    const unwrapper = createRegionKeyUnwrapper(() => parseRegionKeys("", "eu"));
    const sealed = await sealCredential(SECRET, SUBJECT, createRegionKeyWrapper(recipient), signal);

    await expect(openCredential(sealed, unwrapper, signal)).rejects.toMatchObject({ reason: "UNAVAILABLE" });
  });

  it("opens what a stranger sealed by RFC 9180 and the comment in the proto alone", async () => {
    const sealed = sealAsStranger(SECRET, SUBJECT, recipient);
    const unwrapper = createRegionKeyUnwrapper(() => parseRegionKeys(key.privateKey, "eu"));

    expect((await openCredential(sealed, unwrapper, signal)).equals(SECRET)).toBe(true);
  });
});

describe("sealCredential()", () => {
  it.each([0, 8193])("refuses a secret of %i bytes", async (size) => {
    const wrapper = createRegionKeyWrapper(recipient);

    await expect(sealCredential(Buffer.alloc(size), SUBJECT, wrapper, signal)).rejects.toMatchObject({
      reason: "ARGUMENT_INVALID",
    });
  });

  it("passes on that a service is away, and leaves no envelope", async () => {
    const kms = new TestKms();
    kms.failures = 1;

    await expect(sealCredential(SECRET, SUBJECT, kms, signal)).rejects.toMatchObject({ reason: "UNAVAILABLE" });
  });
});

function flip(bytes: Uint8Array, at = bytes.length - 1): Uint8Array {
  return bytes.map((byte, index) => (index === at ? byte ^ 1 : byte));
}

/** HPKE in base mode (RFC 9180, sections 4 to 5.2) over node:crypto, and the envelope as the proto describes it. */
function sealAsStranger(secret: Buffer, subject: CredentialSubject, { keyId, publicKey }: Recipient): SealedCredential {
  const context = Buffer.concat(
    [
      "weir/credential/v1",
      subject.organisation,
      subject.name,
      subject.region,
      String(subject.version),
      keyId,
      ...subject.origins,
    ].map((text) => Buffer.concat([u32(Buffer.byteLength(text)), Buffer.from(text)])),
  );
  const dataKey = randomBytes(32);
  const nonce = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", dataKey, nonce).setAAD(context);
  const ciphertext = Buffer.concat([cipher.update(secret), cipher.final(), cipher.getAuthTag()]);

  const ephemeral = generateKeyPairSync("x25519");
  const enc = rawPublic(ephemeral.publicKey);
  const shared = diffieHellman({ privateKey: ephemeral.privateKey, publicKey: toPublicKey(publicKey) });
  const kem = labeled(Buffer.from("KEM\x00\x20", "latin1"));
  const sharedSecret = kem.expand(
    kem.extract("", "eae_prk", shared),
    "shared_secret",
    Buffer.concat([enc, publicKey]),
    32,
  );
  const hpke = labeled(Buffer.from("HPKE\x00\x20\x00\x01\x00\x02", "latin1"));
  const schedule = Buffer.concat([
    Buffer.of(0),
    hpke.extract("", "psk_id_hash", Buffer.alloc(0)),
    hpke.extract("", "info_hash", Buffer.from("weir/credential/v1")),
  ]);
  const secretOfSchedule = hpke.extract(sharedSecret, "secret", Buffer.alloc(0));
  const wrap = createCipheriv(
    "aes-256-gcm",
    hpke.expand(secretOfSchedule, "key", schedule, 32),
    hpke.expand(secretOfSchedule, "base_nonce", schedule, 12),
  ).setAAD(context);
  const wrappedKey = Buffer.concat([enc, wrap.update(dataKey), wrap.final(), wrap.getAuthTag()]);
  return create(SealedCredentialSchema, {
    ...subject,
    origins: [...subject.origins],
    keyId,
    wrappedKey,
    nonce,
    ciphertext,
  });
}

function labeled(suite: Buffer) {
  const hmac = (secret: Uint8Array | string, data: Uint8Array) =>
    createHmac("sha256", secret === "" ? Buffer.alloc(32) : secret)
      .update(data)
      .digest();
  return {
    extract: (salt: Uint8Array | string, label: string, input: Uint8Array) =>
      hmac(salt, Buffer.concat([Buffer.from("HPKE-v1"), suite, Buffer.from(label), input])),
    // One block of HKDF-Expand is enough: nothing here is longer than 32 bytes.
    expand: (key: Uint8Array, label: string, info: Uint8Array, length: number) =>
      hmac(
        key,
        Buffer.concat([u32(length).subarray(2), Buffer.from("HPKE-v1"), suite, Buffer.from(label), info, Buffer.of(1)]),
      ).subarray(0, length),
  };
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function rawPublic(key: KeyObject): Buffer {
  return Buffer.from(key.export({ format: "jwk" }).x as string, "base64url");
}

function toPublicKey(raw: Uint8Array): KeyObject {
  return createPublicKey({
    key: { kty: "OKP", crv: "X25519", x: Buffer.from(raw).toString("base64url") },
    format: "jwk",
  });
}
