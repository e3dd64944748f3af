import { readFile } from "node:fs/promises";
import { AuditService } from "../../gen/weir/audit/v1/audit_service_pb.ts";
import { IntakeService } from "../../gen/weir/audit/v1/intake_service_pb.ts";
import { openAuthority } from "../shared/authority/open-authority.ts";
import { connectBus } from "../shared/bus/bus.ts";
import { systemClock } from "../shared/clock.ts";
import { createPool } from "../shared/database/pool.ts";
import { Health } from "../shared/mesh/health.ts";
import { openTls } from "../shared/mesh/open-tls.ts";
import { createOperationsHandler } from "../shared/mesh/operations.ts";
import { startMeshServer } from "../shared/mesh/server.ts";
import { runService } from "../shared/process.ts";
import { createMetrics } from "../shared/telemetry/metrics.ts";
import { createAuditService } from "./audit-service.ts";
import { readConfig } from "./config.ts";
import { createIntakeService } from "./intake-service.ts";
import { readLogKeys } from "./log/keys.ts";
import { keepRecords } from "./record.ts";
import { migrateStore } from "./store/migrate-store.ts";

runService("audit", async ({ environment, log, signal }) => {
  const config = readConfig(environment, log);
  const retired = config.WEIR_RETIRED_KEYS;
  const { signer, identity } = readLogKeys({
    origin: config.WEIR_ORIGIN,
    signerKey: await readFile(config.WEIR_SIGNING_KEY, "utf8"),
    retiredKeys: retired === undefined ? undefined : await readFile(retired, "utf8"),
  });
  const url = config.WEIR_DATABASE_URL;
  const region = config.WEIR_REGION;
  const clock = systemClock;
  const metrics = createMetrics("audit");
  const health = new Health({ gauge: metrics.weir_ready });
  const tls = openTls({ settings: config, clock, log, metrics, signal });
  const authority = openAuthority({ settings: config, clock, log, metrics, signal });
  const pool = createPool({ url, log });
  const bus = await connectBus({ urls: [config.WEIR_NATS_URL], name: `audit ${region}`, log });
  metrics.weir_bus_connected.set({ bus: "audit" }, 0);
  bus.onChange((connected) => metrics.weir_bus_connected.set({ bus: "audit" }, connected ? 1 : 0), signal);

  const server = await startMeshServer({
    listen: config.WEIR_LISTEN,
    tls,
    routes: (router) =>
      router.service(AuditService, createAuditService(pool)).service(IntakeService, createIntakeService(pool)),
    services: [AuditService, IntakeService],
    authority,
    reflection: config.WEIR_REFLECTION,
    health,
    fallback: createOperationsHandler({ health, metrics }),
    metrics,
    log,
  });
  log.info({ address: server.address, region, origin: identity.origin }, "Listening");

  const checkpointIntervalMs = config.WEIR_CHECKPOINT_INTERVAL;
  const context = { pool, bus, region, identity, signer, checkpointIntervalMs, clock, health, log, metrics };
  const keeping = migrateStore({ url, clock, log, signal }).then(() => keepRecords(context, signal));
  return {
    stop: async () => {
      await Promise.all([server.drain(config.WEIR_DRAIN_TIMEOUT), keeping]);
      await bus.close();
      await pool.end();
    },
  };
});
