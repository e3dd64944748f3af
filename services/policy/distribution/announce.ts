import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import type { IntakeService } from "../../../gen/weir/audit/v1/intake_service_pb.ts";
import { AuditRecordedBatchSchema, AuditRecordedSchema } from "../../../gen/weir/event/v1/audit_recorded_pb.ts";
import { ProducerSchema } from "../../../gen/weir/type/v1/usage_pb.ts";
import type { Bus } from "../../shared/bus/bus.ts";
import { publish } from "../../shared/bus/publish.ts";
import { ensureStream } from "../../shared/bus/streams.ts";
import type { Clock } from "../../shared/clock.ts";
import { OutboxRelay, type OutboxRelayOptions, type RelayedFact } from "../../shared/database/outbox-relay.ts";
import type { Pool } from "../../shared/database/pool.ts";
import type { Log } from "../../shared/telemetry/log.ts";
import type { Metrics } from "../../shared/telemetry/metrics.ts";
import { AUDIT_SUBJECT, CONTROL_REGION, PRODUCER } from "./facts.ts";

/** What the relays of the outbox need. */
export interface AnnounceOptions {
  readonly pool: Pool;
  /** The hub's account MESH: that a version was published. */
  readonly bus: Bus;
  /** The hub's account CONTROL: records. */
  readonly auditBus: Bus;
  /** The control plane's audit, asked what it has committed. */
  readonly intake: Client<typeof IntakeService>;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics?: Pick<Metrics, "weir_outbox_pending"> | undefined;
}

/** A batch ends before it would be larger: half of what the bus carries in one message. */
const BATCH_BYTES = 512 * 1024;
const WATERMARK_TIMEOUT_MS = 5_000;

/** Tells that versions were published: hints, forgotten once the bus has them, since routers do not depend on them. */
export function createPublishedRelay({ pool, bus, clock, log }: AnnounceOptions): OutboxRelay {
  const withStream = onStream((signal) => ensureStream(bus, "POLICY", CONTROL_REGION, { signal }));
  return new OutboxRelay({
    pool,
    lane: "policy",
    clock,
    log,
    publish: withStream(async (facts, signal) => {
      for (const { subject, payload, eventId } of facts) {
        await publish(bus, { subject, payload, messageId: eventId, signal });
      }
    }),
  });
}

/** Brings records to the control plane's audit and keeps each until audit says that it is committed there. */
export function createRecordRelay({ pool, auditBus, intake, clock, log, metrics }: AnnounceOptions): OutboxRelay {
  const withStream = onStream((signal) => ensureStream(auditBus, "AUDIT", CONTROL_REGION, { signal }));
  return new OutboxRelay({
    pool,
    lane: "audit",
    clock,
    log,
    onPending: (pending) => metrics?.weir_outbox_pending.set(pending),
    publish: withStream(async (facts, signal) => {
      for (const batch of toBatches(facts)) {
        const first = batch[0] as RelayedFact;
        const { seq: last } = batch.at(-1) as RelayedFact;
        await publish(auditBus, {
          subject: AUDIT_SUBJECT,
          payload: encodeBatch(batch),
          // What is told again must get past the bus, which drops an id that it has seen within minutes.
          messageId: `${CONTROL_REGION}.${PRODUCER}.${first.boot}.${first.seq}-${last}${first.resend === 0 ? "" : `.${first.resend}`}`,
          signal,
        });
      }
    }),
    getWatermark: async (boot, signal) => {
      const name = { region: CONTROL_REGION, instance: PRODUCER, boot };
      const { seq } = await intake.getWatermark(name, { signal, timeoutMs: WATERMARK_TIMEOUT_MS });
      return seq;
    },
  });
}

// The outbox holds a fact without its place; the place is known only once the relay has numbered it. The record's own bytes are
// copied, never encoded again.
function encodeBatch(batch: readonly RelayedFact[]): Uint8Array {
  const records = batch.map(({ payload, boot, seq }) => {
    const record = fromBinary(AuditRecordedSchema, payload);
    record.producer = create(ProducerSchema, { region: CONTROL_REGION, instance: PRODUCER, boot, seq });
    return record;
  });
  return toBinary(AuditRecordedBatchSchema, create(AuditRecordedBatchSchema, { records }));
}

function* toBatches(facts: readonly RelayedFact[]): Generator<RelayedFact[]> {
  let batch: RelayedFact[] = [];
  let size = 0;
  for (const fact of facts) {
    if (batch.length > 0 && size + fact.payload.length > BATCH_BYTES) {
      yield batch;
      batch = [];
      size = 0;
    }
    batch.push(fact);
    size += fact.payload.length + 128;
  }
  if (batch.length > 0) yield batch;
}

type Publish = OutboxRelayOptions["publish"];

// Makes sure of the stream before the first publish and after each that failed: the server may have come back without it.
function onStream(ensure: (signal: AbortSignal) => Promise<void>): (tell: Publish) => Publish {
  let isSure = false;
  return (tell) => async (facts, signal) => {
    if (!isSure) await ensure(signal);
    isSure = false;
    await tell(facts, signal);
    isSure = true;
  };
}
