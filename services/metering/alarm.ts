import type { Log } from "../shared/telemetry/log.ts";
import type { Metrics } from "../shared/telemetry/metrics.ts";
import type { TakenIn } from "./store/usages.ts";

/** Creates what hears of each commit: it counts, and says loudly what needs a person. */
export function createAlarm({
  metrics,
  log,
}: {
  readonly metrics: Metrics;
  readonly log: Log;
}): (taken: TakenIn) => void {
  return ({ posted, repeated, parked }) => {
    metrics.weir_metering_events_total.inc({ result: "posted" }, posted.length);
    metrics.weir_metering_events_total.inc({ result: "repeated" }, repeated);
    metrics.weir_metering_events_total.inc({ result: "parked" }, parked.length);
    metrics.weir_metering_parked_events.inc(parked.length);
    for (const { why, region, position, eventId } of parked) {
      // The detail may quote what came from outside; it stays in the database.
      const place = { producer: position?.producer, boot: position?.boot, seq: position?.seq.toString() };
      log.error(
        { kind: why.kind, region, event_id: eventId?.slice(0, 36), ...place },
        "A usage cannot be posted and is parked",
      );
    }
    for (const { usage, costNanos, saidNanos } of posted.filter(({ mismatched }) => mismatched)) {
      metrics.weir_metering_mismatches_total.inc();
      const amounts = { cost_nanos: costNanos.toString(), said_nanos: saidNanos.toString() };
      log.error(
        { event_id: usage.eventId, ...amounts },
        "A router and metering rate a usage differently; ours is posted",
      );
    }
  };
}
