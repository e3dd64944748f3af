/** The audit process dies or freezes at any moment: what its producers said is in the log exactly once, and the log verifies. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { exportLog } from "../../cli/audit-log.ts";
import { withClient } from "../../cli/control-plane.ts";
import { ensureAdminKey } from "../../cli/operators.ts";
import { HOST } from "../../cli/up/layout.ts";
import { ChildRun } from "../../cli/up/managed-process.ts";
import { createServiceProcess } from "../../cli/up/service-process.ts";
import { AuditService } from "../../gen/weir/audit/v1/audit_service_pb.ts";
import { IntakeService } from "../../gen/weir/audit/v1/intake_service_pb.ts";
import { RecordSchema } from "../../gen/weir/audit/v1/record_pb.ts";
import { AuditRecordedBatchSchema } from "../../gen/weir/event/v1/audit_recorded_pb.ts";
import { verifyExportFolder } from "../../services/audit/verification/verify-export.ts";
import { type Bus, connectBus } from "../../services/shared/bus/bus.ts";
import { publish } from "../../services/shared/bus/publish.ts";
import { generateNoteKey, parseVerifierKey } from "../../services/shared/note/note.ts";
import { createLog } from "../../services/shared/telemetry/log.ts";
import { startNats, startPostgres, type TestNats, type TestPostgres } from "../parts.ts";
import { getFreeBasePort } from "../ports.ts";

const ORIGIN = "weir.local/audit/eu";
const CALL_OPTIONS = { timeoutMs: 10_000 };
const log = createLog({ service: "test", level: "silent" });
const key = generateNoteKey(ORIGIN);
const trust = { verifiers: [parseVerifierKey(key.verifierKey)] };

let folder: string;
let postgres: TestPostgres;
let nats: TestNats;
let bus: Bus;
let ports: number[];
let runs: ChildRun[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "weir-audit-kill-"));
  writeFileSync(join(folder, "key"), key.signerKey, { mode: 0o600 });
  ensureAdminKey(operators());
  [postgres, nats] = await Promise.all([startPostgres(), startNats()]);
  bus = await connectBus({ urls: [nats.url], name: "producer", log });
  const base = await getFreeBasePort();
  ports = [base, base + 1];
});

afterAll(async () => {
  await bus?.close();
  await Promise.all([postgres?.stop(), nats?.stop()]);
  rmSync(folder, { recursive: true, force: true });
});

beforeEach(() => {
  runs = [];
});

afterEach(async () => {
  for (const run of runs) run.signal("SIGKILL");
  await Promise.all(runs.map((run) => run.ended));
});

/** Who may ask it, and by which key. */
const operators = () => ({ operators: join(folder, "operators.yaml"), adminKey: join(folder, "admin.key") });

/** Starts an instance of audit and waits until it answers; `instance` is 0 or 1. */
async function startAudit(instance = 0): Promise<ChildRun> {
  const process = createServiceProcess({
    name: `audit-${instance}`,
    main: "services/audit/main.ts",
    port: ports[instance] as number,
    settings: {
      WEIR_DATABASE_URL: postgres.url("audit_eu"),
      WEIR_NATS_URL: nats.url,
      WEIR_REGION: "eu",
      WEIR_ORIGIN: ORIGIN,
      WEIR_SIGNING_KEY: join(folder, "key"),
      WEIR_OPERATORS: operators().operators,
      WEIR_CHECKPOINT_INTERVAL: "100ms",
    },
  });
  const run = await ChildRun.start(process, join(folder, "logs"));
  runs.push(run);
  await until(() => process.ready(AbortSignal.timeout(5_000)), Boolean);
  return run;
}

/** Asks until the answer is the one wanted; the test's own time is the deadline. A failed question is asked again. */
async function until<T>(ask: () => Promise<T>, isIt: (answer: T) => boolean): Promise<T> {
  for (;;) {
    const answer = await ask().catch(() => undefined);
    if (answer !== undefined && isIt(answer)) return answer;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** A producer as a router is one: keeps what the watermark has not passed, and says it again when it is asked to. */
class Producer {
  readonly #boot: string;
  #count = 0;
  #said = 0;

  constructor(boot: string) {
    this.#boot = boot;
  }

  idOf(seq: number): string {
    const boot = Buffer.from(this.#boot).toString("hex").slice(0, 4).padEnd(4, "0");
    return `019a0000-0000-7000-8000-${boot}${seq.toString(16).padStart(8, "0")}`;
  }

  /** Says the records from `first` to `last` in small batches. Those that the bus does not take are lost on the way. */
  async say(first: number, last: number): Promise<void> {
    this.#count = Math.max(this.#count, last);
    for (let start = first; start <= last; start += 7) {
      const records = [];
      for (let seq = start; seq <= Math.min(start + 6, last); seq++) records.push(this.#makeFact(seq));
      const payload = toBinary(AuditRecordedBatchSchema, create(AuditRecordedBatchSchema, { records }));
      const messageId = `${this.#boot}.${start}.${this.#said++}`;
      await publish(bus, { subject: "audit.eu.eu-1", payload, messageId }).catch(() => {});
    }
  }

  async watermark(instance = 0): Promise<number> {
    const producer = { region: "eu", instance: "eu-1", boot: this.#boot };
    const { seq } = await withClient(`${HOST}:${ports[instance]}`, IntakeService, (client) =>
      client.getWatermark(producer, CALL_OPTIONS),
    );
    return Number(seq);
  }

  /** Says again what the watermark has not passed, until it has passed all. */
  async settle(instance = 0): Promise<void> {
    await until(
      async () => {
        const watermark = await this.watermark(instance);
        if (watermark < this.#count) await this.say(watermark + 1, this.#count);
        return watermark;
      },
      (watermark) => watermark === this.#count,
    );
  }

  #makeFact(seq: number) {
    const recordId = this.idOf(seq);
    const record = create(RecordSchema, {
      recordId,
      recordedAt: timestampFromMs(1_790_000_000_000 + seq),
      region: "eu",
      instance: "eu-1",
      organisation: "acme",
      act: { case: "refusal", value: { reason: "RATE_LIMITED", count: BigInt(seq) } },
    });
    return {
      recordId,
      producer: { region: "eu", instance: "eu-1", boot: this.#boot, seq: BigInt(seq) },
      organisation: "acme",
      record: toBinary(RecordSchema, record),
    };
  }
}

/** Exports the log, when all `count` records are covered by a checkpoint, and verifies it from the files alone. */
async function exportAndVerify(name: string, count: number, instance = 0) {
  const target = join(folder, name);
  const endpoint = { address: `${HOST}:${ports[instance]}`, tokenFile: operators().adminKey };
  await withClient(endpoint, AuditService, async (client) => {
    await until(
      () => client.getCheckpoint({}, CALL_OPTIONS),
      ({ checkpoint }) => checkpoint?.treeSize === BigInt(count),
    );
    await exportLog(client, ORIGIN, target);
  });
  return await verifyExportFolder(target, trust);
}

describe("audit", () => {
  it("killed again and again under load logs each record exactly once", async () => {
    const producer = new Producer("kill");
    let audit = await startAudit();
    for (let round = 0; round < 4; round++) {
      const first = round * 100 + 1;
      let hasSaid = false;
      const saying = producer.say(first, first + 99).then(() => {
        hasSaid = true;
      });
      // Somewhere in the middle of the round's work, at another place each time. What came before the stream was there is lost: said again.
      await until(
        async () => {
          const watermark = await producer.watermark();
          if (hasSaid && watermark < first + round * 20) await producer.say(watermark + 1, first + 99);
          return watermark;
        },
        (watermark) => watermark >= first + round * 20,
      );
      audit.signal("SIGKILL");
      await Promise.all([audit.ended, saying]);
      audit = await startAudit();
      await producer.settle();
    }

    const verdict = await exportAndVerify("kill", 400);
    expect(verdict).toMatchObject({ kind: "proven", origin: ORIGIN, size: 400n });
  });

  it("frozen loses the lead to another instance, and writes nothing when it wakes up", async () => {
    const producer = new Producer("freeze");
    const frozen = await startAudit(0);
    await producer.say(1, 50);
    await producer.settle();

    frozen.signal("SIGSTOP");
    await startAudit(1);
    await producer.say(51, 100);
    await producer.settle(1);
    frozen.signal("SIGCONT");
    await producer.say(101, 150);
    await producer.settle(1);

    expect(await exportAndVerify("freeze", 550, 1)).toMatchObject({ kind: "proven", size: 550n });
    expect(await producer.watermark(0)).toBe(150);
  });
});
