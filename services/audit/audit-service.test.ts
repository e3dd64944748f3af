import { Code, createClient, createRouterTransport } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { AuditService } from "../../gen/weir/audit/v1/audit_service_pb.ts";
import { startPostgres, type TestPostgres } from "../../test/parts.ts";
import { createTestAccessInterceptor } from "../shared/authority/authority.fixture.ts";
import { ManualClock, systemClock } from "../shared/clock.ts";
import { createPool, type Pool, query } from "../shared/database/pool.ts";
import { fromConnectError } from "../shared/errors/wire.ts";
import { createErrorInterceptor } from "../shared/mesh/interceptors.ts";
import { generateNoteKey } from "../shared/note/note.ts";
import { createLog } from "../shared/telemetry/log.ts";
import { createAuditService } from "./audit-service.ts";
import { integrate } from "./log/integrate.ts";
import { readLogKeys } from "./log/keys.ts";
import { sequence } from "./log/sequence.ts";
import { signCheckpoint } from "./log/sign-checkpoint.ts";
import { isConsistent, isIncluded } from "./merkle/verify.ts";
import { takeLead } from "./store/log-state.ts";
import { migrateStore } from "./store/migrate-store.ts";

const ORIGIN = "weir.local/audit/eu";
const log = createLog({ service: "test", level: "silent" });
const idOf = (seq: number) => `019a0000-0000-7000-8000-${seq.toString(16).padStart(12, "0")}`;

let postgres: TestPostgres;
let pool: Pool;

/** Ten records: of "acme" the even ones, of "other" the odd ones; checkpoints at 3 and 8. */
beforeAll(async () => {
  postgres = await startPostgres();
  const url = postgres.url("audit_eu");
  await migrateStore({ url, clock: systemClock, log, signal: new AbortController().signal });
  pool = createPool({ url, log });
  const lead = await takeLead(pool, ORIGIN);
  const { signer, identity } = readLogKeys({ origin: ORIGIN, signerKey: generateNoteKey(ORIGIN).signerKey });
  for (let seq = 0; seq < 10; seq++) {
    const position = { region: "eu", producer: "eu-1", boot: "boot-1", seq: BigInt(seq + 1) };
    const organisation = seq % 2 === 0 ? "acme" : "other";
    const record = seq === 9 ? new Uint8Array(60_000) : Buffer.from(`record ${seq}`);
    await sequence(pool, lead, [{ recordId: idOf(seq), organisation, record, position, payload: record }], []);
    if (seq === 2 || seq === 7) {
      await integrate(pool, lead);
      await signCheckpoint(pool, lead, { identity, signer, clock: new ManualClock() }, undefined);
    }
  }
}, 60_000);

afterAll(async () => {
  await pool?.end();
  await postgres?.stop();
});

const client = (asked: Pool = pool) =>
  createClient(
    AuditService,
    createRouterTransport((router) => router.service(AuditService, createAuditService(asked)), {
      router: { interceptors: [createErrorInterceptor(log), createTestAccessInterceptor()] },
    }),
  );
const reasonOf = (promise: Promise<unknown>) =>
  promise.then(
    () => "answered",
    (error: unknown) => fromConnectError(error).message,
  );

describe("AuditService", () => {
  it("answers UNAVAILABLE before the first migration has run", async () => {
    const unmigrated = createPool({ url: postgres.url("audit_us"), log });
    onTestFinished(() => unmigrated.end());

    const listing = client(unmigrated).listRecords({});

    await expect(listing).rejects.toMatchObject({ code: Code.Unavailable });
  });

  it("lists records page by page, by rising index, each once", async () => {
    const seen: bigint[] = [];
    let pageToken = "";
    do {
      const page = await client().listRecords({ pageSize: 3, pageToken });
      seen.push(...page.records.map(({ index }) => index));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(seen).toEqual([0n, 1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n, 9n]);
  });

  it("lists the records of one organisation only, within a range", async () => {
    const { records } = await client().listRecords({ organisation: "acme", firstIndex: 1n, endIndex: 7n });
    expect(records.map(({ recordId }) => recordId)).toEqual([2, 4, 6].map(idOf));
  });

  it("a page token of another listing is refused", async () => {
    const { nextPageToken } = await client().listRecords({ organisation: "acme", pageSize: 1 });
    const other = client().listRecords({ organisation: "other", pageToken: nextPageToken });
    expect(await reasonOf(other)).toMatch(/page_token/);
  });

  it("a record has its index, its bytes and its leaf hash", async () => {
    const { record } = await client().getRecord({ recordId: idOf(4) });
    expect(record).toMatchObject({ index: 4n, organisation: "acme" });
    expect(Buffer.from(record?.record ?? []).toString()).toBe("record 4");
    expect(await reasonOf(client().getRecord({ recordId: idOf(99) }))).toMatch(/the log has none/);
  });

  it("proves inclusion against the latest and against an earlier checkpoint", async () => {
    for (const treeSize of [0n, 3n]) {
      const { record, checkpoint, hashes } = await client().getInclusionProof({ recordId: idOf(2), treeSize });
      expect(checkpoint?.treeSize).toBe(treeSize === 0n ? 8n : treeSize);
      const claim = {
        leafHash: record?.leafHash ?? new Uint8Array(),
        index: record?.index ?? -1n,
        size: checkpoint?.treeSize ?? 0n,
        root: checkpoint?.rootHash ?? new Uint8Array(),
        proof: hashes,
      };
      expect(isIncluded(claim)).toBe(true);
    }
  });

  it("a record that no checkpoint covers yet can be asked for again; a checkpoint that never covers it can't", async () => {
    const early = await client()
      .getInclusionProof({ recordId: idOf(9) })
      .catch(fromConnectError);
    expect(early).toMatchObject({ reason: "UNAVAILABLE", retryAfterMs: 1000 });
    expect(await reasonOf(client().getInclusionProof({ recordId: idOf(5), treeSize: 3n }))).toMatch(/behind 3 records/);
    expect(await reasonOf(client().getInclusionProof({ recordId: idOf(5), treeSize: 4n }))).toMatch(
      /no checkpoint of 4/,
    );
  });

  it("proves that one checkpoint continues the other", async () => {
    const { first, second, hashes } = await client().getConsistencyProof({ firstSize: 3n });
    const claim = {
      first: first?.treeSize ?? 0n,
      firstRoot: first?.rootHash ?? new Uint8Array(),
      second: second?.treeSize ?? 0n,
      secondRoot: second?.rootHash ?? new Uint8Array(),
      proof: hashes,
    };
    expect(claim).toMatchObject({ first: 3n, second: 8n });
    expect(isConsistent(claim)).toBe(true);
    expect(await reasonOf(client().getConsistencyProof({ firstSize: 8n, secondSize: 3n }))).toMatch(/8 is more than 3/);
    expect(await reasonOf(client().getConsistencyProof({ firstSize: 5n }))).toMatch(/none was signed at the size 5/);
  });

  it("lists checkpoints page by page", async () => {
    const first = await client().listCheckpoints({ pageSize: 1 });
    expect(first.checkpoints.map(({ treeSize }) => treeSize)).toEqual([3n]);
    const second = await client().listCheckpoints({ pageSize: 1, pageToken: first.nextPageToken });
    expect(second.checkpoints.map(({ treeSize }) => treeSize)).toEqual([8n]);
    expect(second.nextPageToken).toBe("");
    expect((await client().listCheckpoints({ afterSize: 3n })).checkpoints).toHaveLength(1);
  });

  it("a page of large records ends before it is too large for a message", async () => {
    await query(
      pool,
      `with big as (select * from record where log_index = 9)
       insert into record (log_index, record_id, organisation, record, leaf_hash)
       select 100 + n, gen_random_uuid(), 'large', record, leaf_hash from big, generate_series(0, 59) n`,
    );
    await query(pool, "update log_state set sequenced = 160");
    const first = await client().listRecords({ organisation: "large", pageSize: 500 });
    expect(first.records).toHaveLength(34);
    const second = await client().listRecords({ organisation: "large", pageSize: 500, pageToken: first.nextPageToken });
    expect(second.records.map(({ index }) => index)).toEqual(Array.from({ length: 26 }, (_, n) => BigInt(134 + n)));
  });

  it("hands out no other record under an id whose place was changed", async () => {
    const move = (index: number) =>
      query(pool, "update record_place set log_index = $1 where record_id = $2", [index, idOf(4)]);
    await move(2);
    expect(
      await client()
        .getInclusionProof({ recordId: idOf(4) })
        .catch(fromConnectError),
    ).toMatchObject({ reason: "PROOF_REFUSED" });
    await move(4);
  });

  it("hands out no proof from a tree that was changed", async () => {
    await query(pool, "update subtree set hash = sha256(hash) where level = 1 and position = 0");
    const error = await client()
      .getInclusionProof({ recordId: idOf(2) })
      .catch(fromConnectError);
    expect(error).toMatchObject({ reason: "PROOF_REFUSED" });
    await query(pool, "delete from subtree where level = 1 and position = 0");
    expect(await reasonOf(client().getInclusionProof({ recordId: idOf(2) }))).toMatch(/missing/);
  });
});
