/** The owners of facts, for the tests of this room. */
import { fromBinary } from "@bufbuild/protobuf";
import { AuditRecordedBatchSchema } from "../../../gen/weir/event/v1/audit_recorded_pb.ts";
import { type UsageRecorded, UsageRecordedBatchSchema } from "../../../gen/weir/event/v1/usage_recorded_pb.ts";
import { sumCostNanos } from "./attempts.ts";
import type { ProducerName } from "./producer.ts";
import type { Roads } from "./roads.ts";
import type { FactKind } from "./segment-list.ts";

/** Metering and audit in one: takes facts in by id, and knows how far it is with each life. */
export class Owners implements Roads {
  readonly usages = new Map<string, UsageRecorded>();
  readonly records = new Map<string, Uint8Array>();
  readonly seqs = new Map<string, Set<bigint>>();
  readonly messageIds: string[] = [];
  /** Calls of which two different things were said: metering parks them, and somebody is woken. */
  readonly contradictions: string[] = [];
  isBusDown = false;
  isLosing = false;
  isAway = false;

  readonly publish: Roads["publish"] = async (kind, _, payload, messageId) => {
    if (this.isBusDown) throw new Error("down");
    this.messageIds.push(`${kind} ${messageId}`);
    if (this.isLosing) return;
    if (kind === "usage") {
      for (const usage of fromBinary(UsageRecordedBatchSchema, payload).usages) {
        const known = this.usages.get(usage.eventId) ?? usage;
        this.usages.set(usage.eventId, known);
        if (known.outcome !== usage.outcome || sumCostNanos(known.attempts) !== sumCostNanos(usage.attempts)) {
          this.contradictions.push(usage.eventId);
        }
        this.#note(kind, usage.producer!, usage.producer!.seq);
      }
    } else {
      for (const { recordId, producer, record } of fromBinary(AuditRecordedBatchSchema, payload).records) {
        this.records.set(recordId, record);
        this.#note(kind, producer!, producer!.seq);
      }
    }
  };

  readonly getWatermark: Roads["getWatermark"] = async (kind, producer) => {
    if (this.isAway) throw new Error("away");
    const seqs = this.seqs.get(keyOf(kind, producer));
    let seq = 0n;
    while (seqs?.has(seq + 1n)) seq += 1n;
    return seq;
  };

  #note(kind: FactKind, producer: ProducerName, seq: bigint): void {
    const key = keyOf(kind, producer);
    this.seqs.set(key, (this.seqs.get(key) ?? new Set()).add(seq));
  }
}

function keyOf(kind: FactKind, { region, instance, boot }: ProducerName): string {
  return [kind, region, instance, boot].join(" ");
}
