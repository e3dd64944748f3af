/** The log on a real PostgreSQL: what is sequenced, integrated and signed, and what happens when any step is cut off. */
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startPostgres, type TestPostgres } from "../../../test/parts.ts";
import { ManualClock } from "../../shared/clock.ts";
import { migrate } from "../../shared/database/migrate.ts";
import { createPool, type Pool, query } from "../../shared/database/pool.ts";
import { getWatermark } from "../../shared/database/watermark.ts";
import { generateNoteKey, openNote, parseSignerKey, parseVerifierKey, signNote } from "../../shared/note/note.ts";
import { createLog } from "../../shared/telemetry/log.ts";
import { appendLeaves, computeRoot, EMPTY_EDGE } from "../merkle/append.ts";
import { type Checkpoint, formatCheckpoint, parseCheckpoint } from "../merkle/checkpoint.ts";
import { hashLeaf } from "../merkle/hash.ts";
import { assembleProof, planInclusion } from "../merkle/proof.ts";
import { isIncluded } from "../merkle/verify.ts";
import { findLatestCheckpoint, listCheckpoints } from "../store/checkpoints.ts";
import { getLogState, type Lead, takeLead } from "../store/log-state.ts";
import { findRecord, listRecords } from "../store/records.ts";
import { readSubtrees } from "../store/subtrees.ts";
import { checkStoredLog } from "./check.ts";
import { integrate } from "./integrate.ts";
import { type SaidRecord, sequence } from "./sequence.ts";
import { signCheckpoint } from "./sign-checkpoint.ts";

const ORIGIN = "weir.local/audit/eu";
const log = createLog({ service: "test", level: "silent" });
const key = generateNoteKey(ORIGIN);
const signer = parseSignerKey(key.signerKey);
const identity = { origin: ORIGIN, verifiers: [parseVerifierKey(key.verifierKey)] };
const clock = new ManualClock();
const refused = expect.objectContaining({ reason: "PROOF_REFUSED" });

let postgres: TestPostgres;
let pool: Pool;
let lead: Lead;

beforeAll(async () => {
  postgres = await startPostgres();
  await migrate({ url: postgres.url("audit_eu"), directory: `${import.meta.dirname}/../store/migrations`, log });
  pool = createPool({ url: postgres.url("audit_eu"), log });
}, 60_000);

afterAll(async () => {
  await pool?.end();
  await postgres?.stop();
});

beforeEach(async () => {
  await query(
    pool,
    "truncate log_state, record, record_place, subtree, checkpoint, parked, producer_cursor, producer_gap",
  );
  lead = await takeLead(pool, ORIGIN);
});

/** The record that a producer says as its `seq`th. */
function say(seq: number, options: { instance?: string; id?: number; bytes?: string } = {}): SaidRecord {
  const { instance = "eu-1", id = seq, bytes = `record ${id}` } = options;
  return {
    recordId: `019a0000-0000-7000-8000-${id.toString(16).padStart(12, "0")}`,
    organisation: "acme",
    record: Buffer.from(bytes),
    position: { region: "eu", producer: instance, boot: "boot-1", seq: BigInt(seq) },
    payload: Buffer.from(`${instance} ${seq} ${bytes}`),
  };
}

const range = (first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, place) => say(first + place));
const sign = (published?: Checkpoint) => signCheckpoint(pool, lead, { identity, signer, clock }, published);
const take = (...said: SaidRecord[]) => sequence(pool, lead, said, []);
const watermark = () => getWatermark(pool, { region: "eu", producer: "eu-1", boot: "boot-1" });

async function readLog(): Promise<string[]> {
  const all = { organisation: "", first: 0n, end: 1_000_000n, limit: 10_000, limitBytes: 100_000_000 };
  return (await listRecords(pool, all)).map(({ record }) => Buffer.from(record).toString());
}

/** The root over the records as they are stored, computed without the stored tree. */
async function computeRootOfRecords(size: bigint): Promise<string> {
  const records = (await readLog()).slice(0, Number(size));
  const { edge } = appendLeaves(
    EMPTY_EDGE,
    records.map((record) => hashLeaf(Buffer.from(record))),
  );
  return Buffer.from(computeRoot(edge)).toString("hex");
}

describe("sequence()", () => {
  it("gives records places in the order in which they came, and moves the watermark with them", async () => {
    expect(await take(...range(1, 3))).toEqual({ added: 3, repeated: 0, parked: [] });
    await take(say(4));

    expect(await readLog()).toEqual(["record 1", "record 2", "record 3", "record 4"]);
    expect(await watermark()).toBe(4n);
    expect(await getLogState(pool)).toEqual({ sequenced: 4n, integrated: 0n });
  });

  it("a repeated record changes nothing, within a batch and across batches", async () => {
    await take(say(1), say(1), say(2));
    expect(await take(say(2), say(1))).toEqual({ added: 0, repeated: 2, parked: [] });

    expect(await readLog()).toEqual(["record 1", "record 2"]);
  });

  it("the same id with other bytes is parked, once, and the first bytes stay", async () => {
    await take(say(1));
    const forged = say(2, { id: 1, bytes: "forged" });

    expect(await take(forged)).toEqual({ added: 0, repeated: 0, parked: ["CONFLICT"] });
    expect(await take(forged)).toEqual({ added: 0, repeated: 0, parked: [] });
    expect(await readLog()).toEqual(["record 1"]);
    expect(await watermark()).toBe(2n);
  });

  it("the watermark stops before a fact that has not come and passes it when it comes late", async () => {
    await take(say(1), say(3));
    expect(await watermark()).toBe(1n);

    await take(say(2));
    expect(await watermark()).toBe(3n);
  });

  it("bytes are stored exactly as they came, not as text", async () => {
    const record = Uint8Array.from({ length: 256 }, (_, byte) => byte);
    await take({ ...say(1), record });

    const stored = await findRecord(pool, say(1).recordId);
    expect([...(stored?.record ?? [])]).toEqual([...record]);
  });

  it("a leader that lost its lead writes nothing", async () => {
    await takeLead(pool, ORIGIN);

    await expect(take(say(1))).rejects.toMatchObject({ reason: "UNAVAILABLE" });
    await expect(integrate(pool, lead)).rejects.toMatchObject({ reason: "UNAVAILABLE" });
    await expect(sign()).rejects.toMatchObject({ reason: "UNAVAILABLE" });
    expect(await getLogState(pool)).toEqual({ sequenced: 0n, integrated: 0n });
  });

  it("a database that holds another log is not opened", async () => {
    await expect(takeLead(pool, "weir.local/audit/us")).rejects.toMatchObject({ reason: "SETTING_INVALID" });
  });

  it("any batches, in any order, with any repeats, log each record once and lose none", async () => {
    const batches = fc.array(fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 6 }), {
      maxLength: 6,
    });
    await fc.assert(
      fc.asyncProperty(batches, async (history) => {
        await query(
          pool,
          "truncate log_state, record, record_place, subtree, checkpoint, producer_cursor, producer_gap",
        );
        lead = await takeLead(pool, ORIGIN);

        for (const batch of history) {
          await take(...batch.map((seq) => say(seq)));
          await integrate(pool, lead);
        }

        const said = new Set(history.flat());
        expect((await readLog()).sort()).toEqual([...said].map((seq) => `record ${seq}`).sort());
        let expected = 0n;
        while (said.has(Number(expected) + 1)) expected += 1n;
        expect(await watermark()).toBe(expected);
        const checkpoint = await sign();
        if (checkpoint)
          expect(Buffer.from(checkpoint.root).toString("hex")).toBe(await computeRootOfRecords(checkpoint.size));
      }),
      { numRuns: 25 },
    );
  }, 60_000);
});

describe("integrate()", () => {
  it("brings the stored tree up to the records, in steps, and is then done", async () => {
    await take(...range(1, 5));
    expect(await integrate(pool, lead)).toBe(5n);
    await take(...range(6, 700));
    await take(...range(701, 1800));
    expect(await integrate(pool, lead)).toBe(1000n);
    expect(await integrate(pool, lead)).toBe(795n);
    expect(await integrate(pool, lead)).toBe(0n);

    const checkpoint = await sign();
    expect(checkpoint?.size).toBe(1800n);
    expect(Buffer.from(checkpoint?.root ?? []).toString("hex")).toBe(await computeRootOfRecords(1800n));
  });

  it("a sequenced record that is gone is named", async () => {
    await take(...range(1, 5));
    await query(pool, "delete from record where log_index = 2");

    await expect(integrate(pool, lead)).rejects.toMatchObject({ reason: "PROOF_REFUSED", facts: { index: "2" } });
  });
});

describe("signCheckpoint()", () => {
  it("signs what is integrated, as a note that the log's key opens", async () => {
    await take(...range(1, 3));
    await integrate(pool, lead);
    const checkpoint = await sign();

    const stored = await findLatestCheckpoint(pool);
    const opened = parseCheckpoint(openNote(stored?.note ?? new Uint8Array(), identity.verifiers).text);
    expect(opened).toMatchObject({ origin: ORIGIN, size: 3n });
    expect(opened.root).toEqual(checkpoint?.root);
    expect(stored?.signedAt.getTime()).toBe(clock.nowMs());
  });

  it("does not sign again what has not grown", async () => {
    expect(await sign()).toBeUndefined();
    await take(say(1));
    await integrate(pool, lead);
    const first = await sign();

    expect(await sign(first)).toBeUndefined();
    expect(await listCheckpoints(pool, 0n, 10)).toHaveLength(1);
  });

  it("every record has a proof against every checkpoint that covers it", async () => {
    for (let seq = 1; seq <= 9; seq++) {
      await take(say(seq));
      await integrate(pool, lead);
      await sign();
    }
    for (const { size, root } of await listCheckpoints(pool, 0n, 10)) {
      for (let index = 0n; index < size; index++) {
        const plan = planInclusion(index, size);
        const proof = assembleProof(plan, await readSubtrees(pool, plan.flat()));
        const leafHash = hashLeaf(Buffer.from(`record ${index + 1n}`));
        expect(isIncluded({ leafHash, index, size, root, proof })).toBe(true);
      }
    }
  });

  it("refuses to sign a changed past", async () => {
    await take(...range(1, 4));
    await integrate(pool, lead);
    await sign();
    await query(pool, "update subtree set hash = sha256(hash) where level = 2");
    await take(say(5));
    await integrate(pool, lead);

    await expect(sign()).rejects.toThrow(refused);
    expect(await listCheckpoints(pool, 0n, 10)).toHaveLength(1);
  });

  it("refuses to sign when the tree is smaller than the last checkpoint", async () => {
    await take(...range(1, 4));
    await integrate(pool, lead);
    await sign();
    await query(pool, "update log_state set sequenced = 3, integrated = 3");

    await expect(sign()).rejects.toThrow(refused);
  });

  it("refuses to sign when the database was set back behind what this process published", async () => {
    await take(...range(1, 4));
    await integrate(pool, lead);
    const published = await sign();
    await query(pool, "delete from checkpoint");

    await expect(sign(published)).rejects.toThrow(refused);
  });

  it("refuses to continue a checkpoint that it did not sign", async () => {
    await take(...range(1, 4));
    await integrate(pool, lead);
    await sign();
    await query(pool, "update checkpoint set root_hash = sha256(root_hash)");
    await take(say(5));
    await integrate(pool, lead);

    await expect(sign()).rejects.toThrow(refused);
  });

  it("a new key continues the log while the old one is still trusted", async () => {
    await take(say(1));
    await integrate(pool, lead);
    await sign();
    await take(say(2));
    await integrate(pool, lead);
    const next = generateNoteKey(ORIGIN);
    const rotated = { origin: ORIGIN, verifiers: [...identity.verifiers, parseVerifierKey(next.verifierKey)] };

    const options = { identity: rotated, signer: parseSignerKey(next.signerKey), clock };
    expect((await signCheckpoint(pool, lead, options, undefined))?.size).toBe(2n);
  });
});

describe("checkStoredLog()", () => {
  beforeEach(async () => {
    await take(...range(1, 6));
    await integrate(pool, lead);
    await sign();
  });

  it("is content with a log that is as it was signed, records beyond the checkpoint included", async () => {
    await take(say(7));
    expect((await checkStoredLog(pool, lead, identity))?.size).toBe(6n);
  });

  it.each([
    ["a tail that was cut off", "delete from record where log_index >= 4"],
    [
      "a tail that was cut off with its counts",
      "delete from record where log_index >= 4; update log_state set sequenced = 4, integrated = 4",
    ],
    ["another root", "update subtree set hash = sha256(hash) where level = 2"],
    ["a missing subtree", "delete from subtree where level = 2"],
    ["a checkpoint whose root was changed", "update checkpoint set root_hash = sha256(root_hash)"],
    [
      "a checkpoint whose note was changed",
      "update checkpoint set note = overlay(note placing '\\x30'::bytea from 22)",
    ],
  ])("refuses %s", async (_, damage) => {
    for (const statement of damage.split("; ")) await query(pool, statement);
    await expect(checkStoredLog(pool, lead, identity)).rejects.toThrow(refused);
  });

  it("refuses a record that stands behind those that were counted", async () => {
    await take(say(7));
    await query(pool, "update log_state set sequenced = 6");
    await expect(checkStoredLog(pool, lead, identity)).rejects.toThrow(refused);
  });

  it("refuses a checkpoint of another log, though it is signed with this one's key", async () => {
    const latest = (await findLatestCheckpoint(pool))!;
    const note = signNote(formatCheckpoint({ ...latest, origin: "weir.local/audit/us" }), signer);
    await query(pool, "update checkpoint set note = $1", [Buffer.from(note)]);
    await expect(checkStoredLog(pool, lead, identity)).rejects.toThrow(refused);
  });

  it("refuses a signed log that is not the one, or one record behind the one, that this process has seen", async () => {
    const { size, root } = (await findLatestCheckpoint(pool))!;
    const seen = { origin: ORIGIN, size, root };
    expect(await checkStoredLog(pool, lead, identity, seen)).toMatchObject({ size: 6n });

    for (const other of [
      { ...seen, root: new Uint8Array(32) },
      { ...seen, size: size + 1n },
    ])
      await expect(checkStoredLog(pool, lead, identity, other)).rejects.toThrow(refused);
  });
});

describe("two instances that both believe they lead", () => {
  const act = fc.record({
    who: fc.constantFrom("a", "b"),
    what: fc.constantFrom("lead", "sequence", "sequence", "integrate", "sign"),
    seq: fc.integer({ min: 1, max: 30 }),
  });

  it("never fork the log: every checkpoint is of a beginning of the one row of records", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(act, { minLength: 1, maxLength: 4 }), { maxLength: 12 }), async (history) => {
        await query(
          pool,
          "truncate log_state, record, record_place, subtree, checkpoint, producer_cursor, producer_gap",
        );
        const leads: Record<string, Lead> = { a: await takeLead(pool, ORIGIN), b: await takeLead(pool, ORIGIN) };
        const perform = async ({ who, what, seq }: { who: string; what: string; seq: number }) => {
          const own = leads[who] as Lead;
          if (what === "lead") leads[who] = await takeLead(pool, ORIGIN);
          else if (what === "sequence") await sequence(pool, own, [say(seq), say(seq + 1)], []);
          else if (what === "integrate") await integrate(pool, own);
          else await signCheckpoint(pool, own, { identity, signer, clock }, undefined);
        };

        for (const together of history) {
          const outcomes = await Promise.allSettled(together.map(perform));
          // Whoever is refused is refused for being fenced, and for nothing else.
          for (const outcome of outcomes) {
            if (outcome.status === "rejected") expect(outcome.reason).toMatchObject({ reason: "UNAVAILABLE" });
          }
        }

        const records = await readLog();
        expect(new Set(records).size).toBe(records.length);
        for (const { size, root } of await listCheckpoints(pool, 0n, 1000)) {
          expect(Buffer.from(root).toString("hex")).toBe(await computeRootOfRecords(size));
        }
      }),
      { numRuns: 30 },
    );
  }, 60_000);
});

describe("a PostgreSQL that dies at any step", () => {
  it("leaves whole steps, and no signed root ever contradicts another", async () => {
    const roots: Checkpoint[] = [];
    let seq = 0;
    for (const step of ["sequence", "integrate", "sign", "between"]) {
      for (let round = 0; round < 2; round++) {
        const said = range(seq + 1, seq + 5);
        seq += 5;
        await cutOff(step === "sequence", () => take(...said));
        await cutOff(step === "integrate", () => integrate(pool, lead));
        await cutOff(step === "sign", () => sign(roots.at(-1)));
        if (step === "between") await postgres.kill().then(() => postgres.restart());
        lead = await takeLead(pool, ORIGIN);
        await checkStoredLog(pool, lead, identity);
        await take(...said);
        while ((await integrate(pool, lead)) > 0n);
        await sign();
        const latest = await findLatestCheckpoint(pool);
        if (latest) roots.push({ origin: ORIGIN, size: latest.size, root: latest.root });
      }
    }

    expect(await readLog()).toHaveLength(seq);
    for (const { size, root } of await listCheckpoints(pool, 0n, 1000)) {
      expect(Buffer.from(root).toString("hex")).toBe(await computeRootOfRecords(size));
    }
    expect(await watermark()).toBe(BigInt(seq));
  }, 120_000);

  /** Runs a step; when it is the one to be cut, PostgreSQL dies while the step is under way. */
  async function cutOff(cut: boolean, step: () => Promise<unknown>): Promise<void> {
    if (!cut) return void (await step());
    const running = step().catch(() => {});
    await postgres.kill();
    await running;
    await postgres.restart();
  }
});
