import type { Bus } from "../../shared/bus/bus.ts";
import { publish } from "../../shared/bus/publish.ts";
import type { ProducerName } from "./producer.ts";
import type { FactKind } from "./segment-list.ts";

/** What brings facts to their owners. */
export interface Roads {
  /** Brings a batch onto the bus. */
  readonly publish: (
    kind: FactKind,
    producer: ProducerName,
    payload: Uint8Array,
    messageId: string,
    signal: AbortSignal,
  ) => Promise<void>;
  /** Asks the owner how far it is. */
  readonly getWatermark: (kind: FactKind, producer: ProducerName, signal: AbortSignal) => Promise<bigint>;
}

const ASK_TIMEOUT_MS = 2_000;

/** The roads of a router: its region's bus for both kinds, metering and the region's audit for the watermarks. */
export function createRoads(options: {
  /** The leaf's account MESH: usages. */
  readonly usageBus: Bus;
  /** The leaf's account REGION: records. */
  readonly recordBus: Bus;
  /** Asks metering. */
  readonly getUsageWatermark: (producer: ProducerName, signal: AbortSignal) => Promise<bigint>;
  /** Asks the region's audit. */
  readonly getRecordWatermark: (producer: ProducerName, signal: AbortSignal) => Promise<bigint>;
}): Roads {
  return {
    publish: (kind, { region, instance }, payload, messageId, signal) =>
      kind === "usage"
        ? publish(options.usageBus, { subject: `usage.${region}.${instance}`, payload, messageId, signal })
        : publish(options.recordBus, { subject: `audit.${region}.${instance}`, payload, messageId, signal }),
    getWatermark: (kind, producer, signal) => {
      // An owner that is away must not hold up the facts that could travel meanwhile.
      const asking = AbortSignal.any([signal, AbortSignal.timeout(ASK_TIMEOUT_MS)]);
      return kind === "usage"
        ? options.getUsageWatermark(producer, asking)
        : options.getRecordWatermark(producer, asking);
    },
  };
}
