/** The spine on a real PostgreSQL and a real NATS: records that are said come out with a place, a proof and a watermark. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { createClient, createRouterTransport } from "@connectrpc/connect";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { AuditService } from "../../gen/weir/audit/v1/audit_service_pb.ts";
import { IntakeService } from "../../gen/weir/audit/v1/intake_service_pb.ts";
import { RecordSchema } from "../../gen/weir/audit/v1/record_pb.ts";
import { AuditRecordedBatchSchema, AuditRecordedSchema } from "../../gen/weir/event/v1/audit_recorded_pb.ts";
import { startNats, startPostgres, type TestNats, type TestPostgres } from "../../test/parts.ts";
import { createTestAccessInterceptor } from "../shared/authority/authority.fixture.ts";
import { type Bus, connectBus } from "../shared/bus/bus.ts";
import { publish } from "../shared/bus/publish.ts";
import { ensureStream } from "../shared/bus/streams.ts";
import { systemClock } from "../shared/clock.ts";
import { createPool, type Pool, query } from "../shared/database/pool.ts";
import { transaction } from "../shared/database/transaction.ts";
import { Health } from "../shared/mesh/health.ts";
import { generateNoteKey, parseVerifierKey } from "../shared/note/note.ts";
import { createLog } from "../shared/telemetry/log.ts";
import { createMetrics, type Metrics } from "../shared/telemetry/metrics.ts";
import { createAuditService } from "./audit-service.ts";
import { createIntakeService } from "./intake-service.ts";
import { readLogKeys } from "./log/keys.ts";
import { formatTlogProof } from "./merkle/tlog-proof.ts";
import { keepRecords } from "./record.ts";
import { migrateStore } from "./store/migrate-store.ts";
import { countParked } from "./store/parked.ts";
import { verifyExportFolder } from "./verification/verify-export.ts";
import { verifyRecord } from "./verification/verify-record.ts";
import { writeExport } from "./verification/write-export.ts";

const ORIGIN = "weir.local/audit/eu";
const log = createLog({ service: "test", level: "silent" });
const key = generateNoteKey(ORIGIN);
const { signer, identity } = readLogKeys({ origin: ORIGIN, signerKey: key.signerKey });
const trust = { verifiers: [parseVerifierKey(key.verifierKey)] };
const producer = { region: "eu", instance: "eu-1", boot: "boot-1" };

let postgres: TestPostgres;
let nats: TestNats;
let pool: Pool;
let bus: Bus;
interface Instance {
  readonly stop: () => Promise<void>;
  readonly health: Health;
  readonly metrics: Metrics;
}
let running: Instance[] = [];

beforeAll(async () => {
  [postgres, nats] = await Promise.all([startPostgres(), startNats()]);
  const url = postgres.url("audit_eu");
  await migrateStore({ url, clock: systemClock, log, signal: new AbortController().signal });
  pool = createPool({ url, log });
  bus = await connectBus({ urls: [nats.url], name: "test", log });
  await ensureStream(bus, "AUDIT", "eu");
}, 60_000);

afterAll(async () => {
  await bus?.close();
  await pool?.end();
  await Promise.all([postgres?.stop(), nats?.stop()]);
});

afterEach(async () => {
  await Promise.all(running.map(({ stop }) => stop()));
  running = [];
});

/** Starts an instance of the service's working half, with connections of its own. */
async function startInstance(): Promise<Instance> {
  const ending = new AbortController();
  const health = new Health();
  const ownPool = createPool({ url: postgres.url("audit_eu"), log });
  const ownBus = await connectBus({ urls: [nats.url], name: "audit eu", log });
  const metrics = createMetrics("audit", { process: false });
  const context = {
    bus: ownBus,
    region: "eu",
    identity,
    signer,
    checkpointIntervalMs: 100,
    clock: systemClock,
    health,
    log,
    metrics,
  };
  const keeping = keepRecords({ ...context, pool: ownPool }, ending.signal);
  const instance = {
    health,
    metrics,
    stop: async () => {
      ending.abort();
      await keeping;
      await ownBus.close();
      await ownPool.end();
    },
  };
  running.push(instance);
  return instance;
}

const services = () =>
  createRouterTransport(
    (router) => {
      router.service(AuditService, createAuditService(pool));
      router.service(IntakeService, createIntakeService(pool));
    },
    { router: { interceptors: [createTestAccessInterceptor()] } },
  );
const audit = () => createClient(AuditService, services());
const watermark = async () => (await createClient(IntakeService, services()).getWatermark(producer)).seq;

const idOf = (seq: number) => `019a0000-0000-7000-8000-${seq.toString(16).padStart(12, "0")}`;

function makeFact(seq: number, options: { region?: string; organisation?: string; recordOrganisation?: string } = {}) {
  const { region = "eu", organisation = "acme", recordOrganisation = organisation } = options;
  const record = create(RecordSchema, {
    recordId: idOf(seq),
    recordedAt: timestampFromMs(1_790_000_000_000 + seq),
    region,
    instance: "eu-1",
    organisation: recordOrganisation,
    act: { case: "refusal", value: { reason: "RATE_LIMITED", count: 1n } },
  });
  return create(AuditRecordedSchema, {
    recordId: idOf(seq),
    producer: { ...producer, region, seq: BigInt(seq) },
    organisation,
    record: toBinary(RecordSchema, record),
  });
}

/** Publishes a message; `attempt` makes it another message to the server's own removal of repeats. */
async function say(facts: ReturnType<typeof makeFact>[], attempt = 0): Promise<void> {
  const payload = toBinary(AuditRecordedBatchSchema, create(AuditRecordedBatchSchema, { records: facts }));
  const messageId = `${facts.map(({ producer: place }) => place?.seq).join("-")}.${attempt}`;
  await publish(bus, { subject: "audit.eu.eu-1", payload, messageId });
}

/** Waits for an outcome by asking for it; vitest's own timeout is the deadline. */
async function until<T>(ask: () => Promise<T>, isIt: (answer: T) => boolean): Promise<T> {
  for (;;) {
    const answer = await ask();
    if (isIt(answer)) return answer;
    await systemClock.sleep(20);
  }
}

describe("the life of a record", { timeout: 60_000 }, () => {
  it("is said, logged, covered by a checkpoint, proven, and verified offline", async () => {
    await startInstance();
    await say([1, 2, 3, 4, 5].map((seq) => makeFact(seq)));
    await until(watermark, (seq) => seq === 5n);

    const proof = await until(
      () =>
        audit()
          .getInclusionProof({ recordId: idOf(4) })
          .catch(() => undefined),
      (answer) => answer !== undefined,
    );

    const { record, checkpoint, hashes } = proof ?? {};
    const receipt = formatTlogProof({
      index: record?.index ?? 0n,
      hashes: hashes ?? [],
      checkpoint: checkpoint?.note ?? new Uint8Array(),
    });
    const verdict = await verifyRecord({ record: record?.record ?? new Uint8Array(), proof: receipt }, trust);
    expect(verdict).toMatchObject({ kind: "proven", origin: ORIGIN });
    expect(record?.record).toEqual(makeFact(4).record);
  });

  it("a repeat, whoever sends it again, changes nothing", async () => {
    await startInstance();
    await say([makeFact(2), makeFact(3), makeFact(6)], 1);
    await until(watermark, (seq) => seq === 6n);

    expect((await audit().listRecords({})).records.map(({ recordId }) => recordId)).toEqual(
      [1, 2, 3, 4, 5, 6].map(idOf),
    );
  });

  it("what can never be logged is parked, passed by the watermark, and does not stop its neighbours", async () => {
    await startInstance();
    const foreign = makeFact(8, { region: "us" });
    const unlike = makeFact(9, { recordOrganisation: "other" });
    const broken = { ...makeFact(10), record: Uint8Array.of(0xff, 0xff) };
    await publish(bus, { subject: "audit.eu.eu-1", payload: Uint8Array.of(1, 2, 3), messageId: "noise" });
    await say([makeFact(7), foreign, unlike, broken, makeFact(11)]);
    await say([makeFact(8)]);

    await until(watermark, (seq) => seq === 11n);
    expect(await countParked(pool)).toBe(4);
    const reasons = await query<{ reason: string }>(pool, "select reason from parked order by reason");
    expect(reasons.map(({ reason }) => reason)).toEqual(["FOREIGN_REGION", "MALFORMED", "MALFORMED", "MISMATCH"]);
  });

  it("of two instances one works; when it stops, the other goes on", async () => {
    const first = await startInstance();
    await until(
      async () => first.health.readiness.reason,
      (reason) => reason === "keeps the log",
    );
    const second = await startInstance();
    await until(
      async () => second.health.readiness.reason,
      (reason) => reason === "another instance keeps the log",
    );
    await say([makeFact(12)]);
    await until(watermark, (seq) => seq === 12n);

    await first.stop();
    running = running.filter((instance) => instance !== first);
    await say([makeFact(13)]);
    await until(watermark, (seq) => seq === 13n);
    expect(second.health.readiness).toEqual({ ready: true, reason: "keeps the log" });
  });

  it("NATS that dies and loses its streams, and PostgreSQL that dies, lose no record that is said again", async () => {
    const { health } = await startInstance();
    await until(
      async () => health.readiness.ready,
      (ready) => ready,
    );
    await nats.kill();
    nats.forget();
    await nats.restart();
    const saidAgain = (seq: number, attempt: number) =>
      say([makeFact(seq)], attempt).then(
        () => true,
        () => false,
      );
    await until(
      () => saidAgain(14, 1),
      (taken) => taken,
    );
    await until(watermark, (seq) => seq === 14n);

    await saidAgain(15, 2);
    await postgres.kill();
    await saidAgain(16, 3);
    await postgres.restart();
    let attempt = 4;
    await until(
      async () => {
        await saidAgain(15, attempt++);
        await saidAgain(16, attempt++);
        return await watermark().catch(() => 0n);
      },
      (seq) => seq === 16n,
    );
    const ids = (await audit().listRecords({ pageSize: 500 })).records.map(({ recordId }) => recordId);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it("the whole log is exported page by page and verified; a row changed in PostgreSQL is found", async () => {
    await startInstance();
    const size = (await audit().listRecords({ pageSize: 500 })).records.length;
    const latest = await until(
      async () => (await audit().getCheckpoint({})).checkpoint,
      (found) => found?.treeSize === BigInt(size),
    );
    const folder = await mkdtemp(join(tmpdir(), "weir-export-"));
    try {
      await exportTo(join(folder, "good"), latest?.treeSize ?? 0n);
      expect(await verifyExportFolder(join(folder, "good"), trust)).toMatchObject({
        kind: "proven",
        size: BigInt(size),
      });

      await query(pool, "update record set record = record || '\\x00' where log_index = 5");
      await exportTo(join(folder, "bad"), latest?.treeSize ?? 0n);
      expect(await verifyExportFolder(join(folder, "bad"), trust)).toMatchObject({ fault: "CHANGED", index: 5n });
    } finally {
      await query(pool, "update record set record = substring(record for length(record) - 1) where log_index = 5");
      await rm(folder, { recursive: true, force: true });
    }
  });

  it("a database that is set back under running instances is refused by both, and nothing is signed again", async () => {
    const instances = [await startInstance(), await startInstance()];
    const latest = async () => (await audit().getCheckpoint({})).checkpoint?.treeSize ?? 0n;
    const before = await latest();
    await say([makeFact(17), makeFact(18)]);
    const seen = async () => await Promise.all(instances.map(({ metrics }) => metrics.page()));
    await until(seen, (pages) => pages.every((page) => page.includes(`weir_audit_checkpoint_size ${before + 2n}`)));
    const epoch = async () => (await query<{ epoch: bigint }>(pool, "select epoch from log_state"))[0]!.epoch;
    const first = await epoch();

    await setBack(before);
    await say([makeFact(19)], 1);
    await until(
      async () => ((await epoch()) > first + 3n ? "refused" : (await latest()) > before ? "signed" : "waiting"),
      (state) => state !== "waiting",
    );

    expect(await latest()).toBe(before);
    await until(
      async () => instances.every(({ health }) => !health.readiness.ready),
      (refused) => refused,
    );
  });

  /** What a restored backup of an earlier moment looks like: consistent in itself. */
  async function setBack(size: bigint): Promise<void> {
    await transaction(pool, async (client) => {
      await query(client, "delete from record_place where log_index >= $1", [size]);
      await query(client, "delete from record where log_index >= $1", [size]);
      await query(client, "delete from subtree where (position + 1) << level > $1", [size]);
      await query(client, "delete from checkpoint where tree_size > $1", [size]);
      await query(client, "update log_state set sequenced = $1, integrated = $1", [size]);
    });
  }

  async function exportTo(folder: string, endIndex: bigint): Promise<void> {
    async function* records() {
      let pageToken = "";
      do {
        const page = await audit().listRecords({ endIndex, pageSize: 3, pageToken });
        for (const { index, leafHash, record } of page.records) yield { index, leafHash, record };
        pageToken = page.nextPageToken;
      } while (pageToken !== "");
    }
    async function* checkpoints() {
      let pageToken = "";
      do {
        const page = await audit().listCheckpoints({ pageSize: 2, pageToken });
        for (const { note, treeSize } of page.checkpoints) if (treeSize <= endIndex) yield note;
        pageToken = page.nextPageToken;
      } while (pageToken !== "");
    }
    await writeExport(folder, { origin: ORIGIN, records: records(), checkpoints: checkpoints() });
  }
});
