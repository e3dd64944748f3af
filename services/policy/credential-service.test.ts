import { createHash, randomUUID } from "node:crypto";
import { clone, fromBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { CredentialChange, RecordSchema } from "../../gen/weir/audit/v1/record_pb.ts";
import { AuditRecordedSchema } from "../../gen/weir/event/v1/audit_recorded_pb.ts";
import {
  type CredentialSet,
  CredentialSetSchema,
  SetCredentialRequestSchema,
  type WatchCredentialsRequest,
  type WatchCredentialsResponse,
} from "../../gen/weir/policy/v1/credential_service_pb.ts";
import { openCredential, sealCredential } from "../shared/credential/envelope.ts";
import {
  generateRegionKey,
  parseRecipients,
  parseRegionKeys,
  type Recipient,
} from "../shared/credential/region-key.ts";
import { createRegionKeyUnwrapper, createRegionKeyWrapper } from "../shared/credential/region-key-wrapper.ts";
import { fromConnectError } from "../shared/errors/wire.ts";
import { createSigner, openNote, parseVerifierKey } from "../shared/note/note.ts";
import { parseHead } from "../shared/snapshot/head.ts";
import {
  type PolicyHarness,
  publishSample,
  startHarness,
  type TestInstance,
  TestWatch,
  verifier,
} from "./harness.fixture.ts";

const keys = { eu: generateRegionKey("eu"), us: generateRegionKey("us") };
const recipients = parseRecipients(`${keys.eu.recipient}\n${keys.us.recipient}`);
const { signal } = new AbortController();
let harness: PolicyHarness;

beforeAll(async () => {
  harness = await startHarness();
}, 120_000);
beforeEach(() => harness.reset());
afterAll(() => harness.stop());

describe("CredentialService", () => {
  it("brings a credential to the watchers of its region, sealed and with a signed head, and to those of no other", async () => {
    const policy = await harness.start();
    const eu = new Deliveries(policy, { region: "eu" });
    const us = new Deliveries(policy, { region: "us" });
    expect((await us.next()).piece).toMatchObject({ case: "heartbeat", value: { setVersion: 0n } });

    const { credential } = await set(policy, { secret: "sk-one", regions: ["eu"] });

    expect(credential).toMatchObject({
      name: "openai",
      version: 1n,
      regions: [{ region: "eu", version: 1n, setVersion: 1n }],
    });
    const { set: sent, head } = await eu.nextSet();
    expect(head).toMatchObject({ kind: "credentials", region: "eu", version: 1n });
    const sealed = sent.credentials[0]!;
    expect((await open(sealed, "eu")).toString()).toBe("sk-one");
    us.end();
    eu.end();
    expect((await policy.credentials.listCredentials({ organisation: "acme" })).credentials).toHaveLength(1);
    await expect(firstOf(policy, { region: "us" })).resolves.toMatchObject({ piece: { case: "heartbeat" } });
  });

  it("gives what a second instance stored to the watchers of the first", async () => {
    const [first, second] = [await harness.start(), await harness.start()];
    const eu = new Deliveries(first, { region: "eu" });

    await set(second, { secret: "sk-one" });
    await set(second, { secret: "sk-two", version: 2n });

    let sent = await eu.nextSet();
    if (sent.set.version === 1n) sent = await eu.nextSet();
    expect(sent.set.credentials[0]?.version).toBe(2n);
    expect((await open(sent.set.credentials[0]!, "eu")).toString()).toBe("sk-two");
    eu.end();
  });

  it("sends nothing to a watcher that holds the latest set but heartbeats", async () => {
    const policy = await harness.start();
    await set(policy, { secret: "sk-one" });
    const { set: sent, content } = await new Deliveries(policy, { region: "eu" }).nextSet();

    const setDigest = createHash("sha256").update(content).digest();

    await expect(firstOf(policy, { region: "eu", setVersion: sent.version, setDigest })).resolves.toMatchObject({
      piece: { case: "heartbeat", value: { setVersion: 1n } },
    });
  });

  it("refuses a version that is not the next one, and says the latest", async () => {
    const policy = await harness.start();
    await set(policy, { secret: "sk-one" });

    for (const version of [1n, 3n]) {
      const refusal = await set(policy, { secret: "sk-other", version }).catch(fromConnectError);
      expect(refusal).toMatchObject({ reason: "VERSION_CONFLICT", facts: { latest_version: "1" } });
    }
  });

  it.each([
    ["another organisation", { organisation: "rival" }, "sealed[0].organisation"],
    ["another name", { name: "anthropic" }, "sealed[0].name"],
  ])("refuses envelopes of %s than the request's", async (_, other, field) => {
    const policy = await harness.start();
    const request = await sealRequest({ secret: "sk-one" });
    Object.assign(request.sealed[0]!, other);

    await expect(policy.credentials.setCredential(request)).rejects.toThrow(`${field} must be that of the request`);
  });

  it("refuses a region that stands there twice, and an organisation that does not operate the mesh", async () => {
    const policy = await harness.start();
    const request = await sealRequest({ secret: "sk-one", regions: ["eu", "eu"] });
    await expect(policy.credentials.setCredential(request)).rejects.toThrow('"eu" stands there twice');

    await publishSample(policy);
    const foreign = await sealRequest({ secret: "sk-one", organisation: "rival" });
    await expect(policy.credentials.setCredential(foreign)).rejects.toThrow(
      "must be the organisation that operates the mesh",
    );
  });

  it("takes a repeated request for the same, and another one under its id for a mistake", async () => {
    const policy = await harness.start();
    const request = await sealRequest({ secret: "sk-one" });

    await policy.credentials.setCredential(request);
    const { credential } = await policy.credentials.setCredential(request);
    expect(credential?.version).toBe(1n);

    const other = clone(SetCredentialRequestSchema, request);
    other.comment = "another";
    await expect(policy.credentials.setCredential(other)).rejects.toThrow("made another change");
    expect(await readChanges()).toHaveLength(1);
  });

  it("deletes in one region, then everywhere, and goes on with higher versions afterwards", async () => {
    const policy = await harness.start();
    await set(policy, { secret: "sk-one" });
    const remove = (regions: string[]) =>
      policy.credentials.deleteCredential({ requestId: randomUUID(), organisation: "acme", name: "openai", regions });

    expect((await remove(["eu"])).credential?.regions.map(({ region }) => region)).toEqual(["us"]);
    expect((await remove([])).credential?.regions).toEqual([]);
    expect((await policy.credentials.listCredentials({ organisation: "acme" })).credentials).toEqual([]);

    await expect(set(policy, { secret: "sk-back" })).rejects.toThrow("its latest version is 1");
    const { credential } = await set(policy, { secret: "sk-back", version: 2n });
    expect(credential?.regions.map(({ setVersion }) => setVersion)).toEqual([3n, 3n]);
  });

  it("refuses to delete what never was, or what has changed meanwhile", async () => {
    const policy = await harness.start();
    const remove = (name: string) =>
      policy.credentials.deleteCredential({ requestId: randomUUID(), organisation: "acme", name, expectedVersion: 7n });
    await set(policy, { secret: "sk-one" });

    await expect(remove("nothing")).rejects.toThrow('has no "nothing"');
    await expect(remove("openai")).rejects.toThrow("its latest version is 1");
  });

  it("puts each change on record with what was sealed before and after, and no secret", async () => {
    const policy = await harness.start();
    await set(policy, { secret: "sk-one", regions: ["eu"], comment: "first" });
    await set(policy, { secret: "sk-two", regions: ["eu"], version: 2n });
    await policy.credentials.deleteCredential({ requestId: randomUUID(), organisation: "acme", name: "openai" });

    const changes = await readChanges();

    expect(changes.map(({ change, version, comment }) => [change, version, comment])).toEqual([
      [CredentialChange.SET, 1n, "first"],
      [CredentialChange.SET, 2n, ""],
      [CredentialChange.DELETED, 2n, ""],
    ]);
    const digests = changes.map(({ regions: [region] }) => [hex(region!.beforeDigest), hex(region!.afterDigest)]);
    expect(digests[0]?.[0]).toBe("");
    expect(digests[1]?.[0]).toBe(digests[0]?.[1]);
    expect(digests[2]).toEqual([digests[1]?.[1], ""]);
  });

  it("tells who uses a version of the connected routers, and why others do not", async () => {
    const policy = await harness.start();
    await set(policy, { secret: "sk-one", regions: ["eu"] });
    const watches = ["eu-1", "eu-2", "eu-3"].map((instance) => new TestWatch(policy, { instance, boot: "b1" }));
    await Promise.all(watches.map((watch) => watch.nextAny()));
    const report = (instance: string, version: bigint, refusal = "", boot = "b1") =>
      policy.routerCredentials.reportCredentials({
        region: "eu",
        instance,
        boot,
        setVersion: 1n,
        held: [{ organisation: "acme", name: "openai", version, refusal }],
      });
    await report("eu-1", 1n);
    await report("eu-2", 0n, "it was changed");
    // Of an earlier life, and of one that is not connected.
    await report("eu-9", 1n);

    const { credentials } = await policy.credentials.listCredentials({ organisation: "acme" });

    expect(credentials[0]?.regions[0]).toMatchObject({
      routers: 2,
      using: 1,
      laggards: [{ instance: "eu-2", version: 0n, refusal: "it was changed" }],
    });
    for (const watch of watches) watch.end();
  });

  it("lists page by page, by name", async () => {
    const policy = await harness.start();
    for (const name of ["c", "a", "b"]) await set(policy, { secret: "sk", name, regions: ["eu"] });

    const first = await policy.credentials.listCredentials({ organisation: "acme", pageSize: 2 });
    const { nextPageToken: pageToken } = first;
    const second = await policy.credentials.listCredentials({ organisation: "acme", pageSize: 2, pageToken });

    expect([first, second].map(({ credentials }) => credentials.map(({ name }) => name))).toEqual([["a", "b"], ["c"]]);
    expect(second.nextPageToken).toBe("");
  });

  it("signs the sets anew when the signing key was changed and a policy is published", async () => {
    const first = await harness.start();
    await set(first, { secret: "sk-one", regions: ["eu"] });
    await first.stop();
    const signer = createSigner("weir.test/policy-next", new Uint8Array(32).fill(9));
    const second = await harness.start({ signer });

    await publishSample(second);

    const { note, set: sent } = await new Deliveries(second, { region: "eu" }).nextSet([
      parseVerifierKey(signer.verifierKey),
    ]);
    expect(openNote(note, [parseVerifierKey(signer.verifierKey)]).signatures).toHaveLength(1);
    expect(sent.version).toBe(2n);
    expect((await open(sent.credentials[0]!, "eu")).toString()).toBe("sk-one");
  });

  it("hands out nothing that the database alone was made to say", async () => {
    const policy = await harness.start();
    await set(policy, { secret: "sk-one", regions: ["eu"] });
    await harness.pool.query("update credential_set set version = 2, content = content || '\\x00'::bytea");
    await policy.stop();

    const next = await harness.start();

    await expect(firstOf(next, { region: "eu" })).resolves.toMatchObject({
      piece: { case: "heartbeat", value: { setVersion: 0n } },
    });
  });
});

type HeldSet = { readonly region: string } & Partial<Pick<WatchCredentialsRequest, "setVersion" | "setDigest">>;

/** A watch of credentials as a test reads it. */
class Deliveries {
  readonly #ending = new AbortController();
  readonly #pieces: AsyncIterator<WatchCredentialsResponse>;

  constructor({ routerCredentials }: TestInstance, held: HeldSet) {
    this.#pieces = routerCredentials
      .watchCredentials({ instance: "eu-1", boot: "b1", ...held }, { signal: this.#ending.signal, timeoutMs: 0 })
      [Symbol.asyncIterator]();
  }

  async next(): Promise<WatchCredentialsResponse> {
    const result = await this.#pieces.next();
    if (result.done) throw new Error("Cannot read the watch: it has ended");
    return result.value;
  }

  /** The next set, after its head verified and named its digest. */
  async nextSet(trust = [verifier]) {
    for (;;) {
      const { piece } = await this.next();
      if (piece.case !== "delivery") continue;
      const { content, note } = piece.value;
      const head = parseHead(openNote(note, trust).text);
      expect(hex(head.digest)).toBe(createHash("sha256").update(content).digest("hex"));
      return { head, note, content, set: fromBinary(CredentialSetSchema, content) as CredentialSet };
    }
  }

  end(): void {
    this.#ending.abort();
  }
}

async function firstOf(policy: TestInstance, held: HeldSet): Promise<WatchCredentialsResponse> {
  const watch = new Deliveries(policy, held);
  try {
    return await watch.next();
  } finally {
    watch.end();
  }
}

interface Sealing {
  readonly secret: string;
  readonly organisation?: string;
  readonly name?: string;
  readonly regions?: readonly string[];
  readonly version?: bigint;
  readonly comment?: string;
}

async function sealRequest(sealing: Sealing) {
  const {
    secret,
    organisation = "acme",
    name = "openai",
    regions = ["eu", "us"],
    version = 1n,
    comment = "",
  } = sealing;
  const sealed = await Promise.all(
    regions.map((region) =>
      sealCredential(
        Buffer.from(secret),
        { organisation, name, region, version, origins: [] },
        createRegionKeyWrapper(recipients.get(region) as Recipient),
        signal,
      ),
    ),
  );
  return {
    $typeName: "weir.policy.v1.SetCredentialRequest" as const,
    requestId: randomUUID(),
    organisation,
    name,
    sealed,
    comment,
  };
}

async function set({ credentials }: TestInstance, sealing: Sealing) {
  return await credentials.setCredential(await sealRequest(sealing));
}

async function open(sealed: CredentialSet["credentials"][number], region: "eu" | "us"): Promise<Buffer> {
  const unwrapper = createRegionKeyUnwrapper(() => parseRegionKeys(keys[region].privateKey, region));
  return await openCredential(sealed, unwrapper, signal);
}

async function readChanges() {
  const { rows } = await harness.pool.query("select payload from outbox where lane = 'audit' order by position");
  return rows.flatMap(({ payload }: { payload: Buffer }) => {
    const { act } = fromBinary(RecordSchema, fromBinary(AuditRecordedSchema, payload).record);
    return act.case === "credentialChange" ? [act.value] : [];
  });
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
