import type { Log } from "../shared/telemetry/log.ts";
import type { Metrics } from "../shared/telemetry/metrics.ts";
import type { StandingChange, Standings } from "./ejection/standings.ts";

/** Makes what hears of changes in how targets stand: a line in the log and a count for each, not for each failure. */
export function createStandingWatch(metrics: Metrics, log: Log): (change: StandingChange) => void {
  return ({ target, kind, cause, forMs, ejections }) => {
    const told = { target, cause, for_ms: Math.round(forMs), ejections };
    if (kind === "returned") {
      log.info({ target, cause, ejections }, "Target answers again, and is asked more and more");
      return;
    }
    metrics.weir_router_ejections_total.inc({ target, cause });
    if (kind === "ejected") log.warn(told, "Target ejected");
    else log.info(told, "Target left alone, as its provider wants");
  };
}

/** Shows on each page which targets are not asked now. */
export function showStandings(metrics: Metrics, standings: Pick<Standings, "list">): void {
  const shown = new Set<string>();
  metrics.onPage(() => {
    for (const target of shown) metrics.weir_router_targets_ejected.set({ target }, 0);
    for (const { target, state } of standings.list()) {
      // Targets are those of policies, so there are few.
      shown.add(target);
      metrics.weir_router_targets_ejected.set({ target }, state === "returning" ? 0 : 1);
    }
  });
}
