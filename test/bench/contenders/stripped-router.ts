/**
 * Weir's router without accounting, and without metrics when told so: the same rooms as in services/router/main.ts, composed without what
 * is left out, so that what that costs can be seen. Without limits it is by a policy that has none.
 * Run with: node stripped-router.ts <port> <folder> <with-metrics|without-metrics>
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ChatService } from "../../../gen/weir/router/v1/chat_service_pb.ts";
import type { Accounting } from "../../../services/router/accounting/accounting.ts";
import { LimitCounters } from "../../../services/router/admission/counters.ts";
import { BodyMemory } from "../../../services/router/arrival/body-memory.ts";
import { createHttpSurface } from "../../../services/router/arrival/http-surface.ts";
import { type ChatObserver, Chats } from "../../../services/router/chat.ts";
import { WorkerCounter } from "../../../services/router/counting/token-counter.ts";
import { mountCredentials } from "../../../services/router/credentials/read-files.ts";
import { ChatDispatcher } from "../../../services/router/dispatch/dispatch.ts";
import { Pools } from "../../../services/router/dispatch/pools.ts";
import { DeadlineSweep } from "../../../services/router/dispatch/sweep.ts";
import { Standings } from "../../../services/router/ejection/standings.ts";
import { FailureLog } from "../../../services/router/failure-log.ts";
import { createObserver } from "../../../services/router/measure.ts";
import { UpstreamBook } from "../../../services/router/routing/upstream-book.ts";
import { systemClock as clock } from "../../../services/shared/clock.ts";
import { Health } from "../../../services/shared/mesh/health.ts";
import { startMeshServer } from "../../../services/shared/mesh/server.ts";
import { parseTrust } from "../../../services/shared/note/note.ts";
import { SnapshotDisk } from "../../../services/shared/snapshot/disk.ts";
import { SnapshotHold } from "../../../services/shared/snapshot/hold.ts";
import { createLog } from "../../../services/shared/telemetry/log.ts";
import { createMetrics } from "../../../services/shared/telemetry/metrics.ts";

const [port, folder, metering] = process.argv.slice(2);
if (folder === undefined) throw new Error("Cannot start router: give a port and a folder");

const log = createLog({ service: "router", level: "warn" });
const metrics = createMetrics("router");
const hold = new SnapshotHold({ trust: parseTrust(readFileSync(join(folder, "trust.txt"), "utf8")), region: "eu" });
await new SnapshotDisk({ directory: join(folder, "state/snapshots"), log }).load(hold);
const health = new Health();
health.setReady();

const noAccounting: Accounting = {
  begin: (_, listener) => {
    return {
      eventId: "",
      ensureBegun: () => undefined,
      attemptStarted: () => undefined,
      settle: () => {
        listener.onSettled();
        return { costNanos: 0n };
      },
    };
  },
  refused: () => undefined,
  close: async () => undefined,
};
const noObserver: ChatObserver = {
  onRefusal: () => undefined,
  onRulesFailed: () => undefined,
  onAsked: () => undefined,
  onOutcome: () => undefined,
};

const memory = new BodyMemory(512 << 20);
const sweep = new DeadlineSweep(clock);
const pools = new Pools({ connections: 4_096 });
const credentials = mountCredentials(join(folder, "credentials"), log);
const upstreams = new UpstreamBook(() => credentials.current());
const counter = new WorkerCounter({ deadlines: sweep, clock, log });
const standings = new Standings({ clock, router: "stripped" });
const dispatcher = new ChatDispatcher({ pools, standings, sweep, clock, memory, counter, answerLimitBytes: 256 << 20 });
const observer = metering === "with-metrics" ? createObserver(metrics, new FailureLog(log, clock)) : noObserver;
const chats = new Chats({
  getKeyringAgeMs: () => 0,
  current: () => hold.current(),
  counters: new LimitCounters(),
  upstreams,
  standings,
  accounting: noAccounting,
  dispatcher,
  observer,
  clock,
  log,
});
const surface = createHttpSurface({
  startChat: (call, sink) => chats.start(call, sink),
  greet: (headers) => chats.greet(headers),
  listModels: (headers) => chats.listModels(headers),
  onRefusal: (reason) => observer.onRefusal(reason),
  body: { limitBytes: 32 << 20, memory, deadlines: sweep, clock },
  clock,
  log,
});
await startMeshServer({
  listen: { host: "127.0.0.1", port: Number(port) },
  clients: "anyone",
  routes: () => undefined,
  services: [ChatService],
  reflection: false,
  health,
  first: (request, response) => surface.take(request, response),
  fallback: (request, response) => surface.refuseUnknown(request, response),
  ...(metering === "with-metrics" && { metrics }),
  log,
});
