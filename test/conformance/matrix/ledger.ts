import { fromBinary } from "@bufbuild/protobuf";
import { AuditRecordedBatchSchema } from "../../../gen/weir/event/v1/audit_recorded_pb.ts";
import { type UsageRecorded, UsageRecordedBatchSchema } from "../../../gen/weir/event/v1/usage_recorded_pb.ts";
import { Meter, OutcomeKind, UsageSource } from "../../../gen/weir/type/v1/usage_pb.ts";
import type { Roads } from "../../../services/router/accounting/roads.ts";

/** What the ledger gets of one call. */
export interface LedgerRow {
  /** Facts of the call that came, repeats of the same fact left out: one each when all is well. */
  readonly usages: number;
  readonly records: number;
  readonly outcome: string;
  /** Of the last attempt that has lines; empty when none has. */
  readonly source: string;
  /** Tokens of all attempts, cached ones among those in, reasoning among those out. */
  readonly input: number;
  readonly output: number;
  readonly attempts: number;
}

/** Metering and audit in one, at the end of a real spool: takes facts in, and answers each with its row. */
export class Ledger implements Roads {
  /** By call, then by the fact's number. */
  readonly #usages = new Map<string, Map<bigint, UsageRecorded>>();
  readonly #records = new Map<string, Set<bigint>>();
  /** Of all calls of which something came, in this order. */
  readonly #ids = new Set<string>();
  #forgotten = 0;
  readonly #last = { usage: 0n, record: 0n };
  #waiting: { readonly isDone: () => boolean; readonly resolve: () => void }[] = [];

  readonly publish: Roads["publish"] = async (kind, _, payload) => {
    if (kind === "usage") {
      for (const usage of fromBinary(UsageRecordedBatchSchema, payload).usages) {
        const seq = usage.producer?.seq ?? 0n;
        this.#ids.add(usage.eventId);
        this.#usages.set(usage.eventId, (this.#usages.get(usage.eventId) ?? new Map()).set(seq, usage));
        this.#last.usage = seq;
      }
    } else {
      for (const { recordId, producer } of fromBinary(AuditRecordedBatchSchema, payload).records) {
        const seq = producer?.seq ?? 0n;
        this.#ids.add(recordId);
        this.#records.set(recordId, (this.#records.get(recordId) ?? new Set()).add(seq));
        this.#last.record = seq;
      }
    }
    const done = this.#waiting.filter(({ isDone }) => isDone());
    this.#waiting = this.#waiting.filter((one) => !done.includes(one));
    for (const { resolve } of done) resolve();
  };

  readonly getWatermark: Roads["getWatermark"] = async (kind) => this.#last[kind];

  /** How many calls there were of which something came. */
  get count(): number {
    return this.#forgotten + this.#ids.size;
  }

  /** Lets go of all rows, for a test of what a router keeps. Repeats of what was forgotten would count as new. */
  forget(): void {
    this.#forgotten += this.#ids.size;
    for (const kept of [this.#ids, this.#usages, this.#records]) kept.clear();
  }

  /** The row of a call, once both its facts have come. */
  async get(id: string): Promise<LedgerRow> {
    await this.#when(() => this.#has(id));
    return this.#toRow(id);
  }

  /** Resolves once both facts of as many calls have come. */
  whenCalls(count: number): Promise<void> {
    return this.#when(() => Math.min(this.#usages.size, this.#records.size) + this.#forgotten >= count);
  }

  /** The rows of all calls of which something came. */
  list(): LedgerRow[] {
    return [...this.#ids].map((id) => this.#toRow(id));
  }

  #when(isDone: () => boolean): Promise<void> {
    return isDone() ? Promise.resolve() : new Promise((resolve) => this.#waiting.push({ isDone, resolve }));
  }

  #has(id: string): boolean {
    return this.#usages.has(id) && this.#records.has(id);
  }

  #toRow(id: string): LedgerRow {
    const facts = [...(this.#usages.get(id)?.values() ?? [])];
    const attempts = facts[0]?.attempts ?? [];
    const lines = attempts.flatMap((attempt) => attempt.lines);
    const sum = (...meters: Meter[]) =>
      lines.reduce((total, { meter, quantity }) => total + (meters.includes(meter) ? Number(quantity) : 0), 0);
    return {
      usages: facts.length,
      records: this.#records.get(id)?.size ?? 0,
      outcome: nameOf(OutcomeKind, facts[0]?.outcome ?? 0),
      source: nameOf(UsageSource, attempts.findLast((attempt) => attempt.lines.length > 0)?.source ?? 0),
      input: sum(Meter.INPUT_TOKENS, Meter.CACHED_INPUT_TOKENS, Meter.CACHE_WRITE_TOKENS),
      output: sum(Meter.OUTPUT_TOKENS, Meter.REASONING_TOKENS),
      attempts: attempts.length,
    };
  }
}

function nameOf(values: Readonly<Record<string, number>>, value: number): string {
  return value === 0 ? "" : (Object.entries(values).find(([, one]) => one === value)?.[0] ?? "");
}
