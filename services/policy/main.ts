import { readFile } from "node:fs/promises";
import { createClient } from "@connectrpc/connect";
import { IntakeService } from "../../gen/weir/audit/v1/intake_service_pb.ts";
import { openAuthority } from "../shared/authority/open-authority.ts";
import { connectBus } from "../shared/bus/bus.ts";
import { systemClock } from "../shared/clock.ts";
import { createPool } from "../shared/database/pool.ts";
import { createMeshTransport } from "../shared/mesh/client.ts";
import { Health } from "../shared/mesh/health.ts";
import { openTls } from "../shared/mesh/open-tls.ts";
import { createOperationsHandler } from "../shared/mesh/operations.ts";
import { startMeshServer } from "../shared/mesh/server.ts";
import { parseSignerKey } from "../shared/note/note.ts";
import { runService } from "../shared/process.ts";
import { createMetrics } from "../shared/telemetry/metrics.ts";
import { readConfig } from "./config.ts";
import { createPolicyInstance } from "./policy.ts";
import { migrateStore } from "./store/migrate-store.ts";

runService("policy", async ({ environment, log, signal }) => {
  const config = readConfig(environment, log);
  const signer = parseSignerKey(await readFile(config.WEIR_SIGNING_KEY, "utf8"));
  const clock = systemClock;
  const metrics = createMetrics("policy");
  const health = new Health({ gauge: metrics.weir_ready });
  const tls = openTls({ settings: config, clock, log, metrics, signal });
  const authority = openAuthority({ settings: config, clock, log, metrics, signal });
  const pool = createPool({ url: config.WEIR_DATABASE_URL, max: config.WEIR_DATABASE_CONNECTIONS, log });
  const bus = await connectBus({ urls: [config.WEIR_NATS_URL], name: "policy", log });
  const auditBus = await connectBus({ urls: [config.WEIR_AUDIT_NATS_URL], name: "policy records", log });
  metrics.weir_bus_connected.set({ bus: "mesh" }, 0);
  metrics.weir_bus_connected.set({ bus: "audit" }, 0);
  bus.onChange((up) => metrics.weir_bus_connected.set({ bus: "mesh" }, up ? 1 : 0), signal);
  auditBus.onChange((up) => metrics.weir_bus_connected.set({ bus: "audit" }, up ? 1 : 0), signal);
  const audit = createMeshTransport({ addresses: config.WEIR_AUDIT_ADDRESS, tls, log, waitForReady: false });
  const intake = createClient(IntakeService, audit);

  const policy = createPolicyInstance({ pool, signer, bus, auditBus, intake, clock, health, metrics, log });
  const server = await startMeshServer({
    listen: config.WEIR_LISTEN,
    tls,
    routes: policy.routes,
    services: policy.services,
    hot: policy.hot,
    authority,
    reflection: config.WEIR_REFLECTION,
    health,
    fallback: createOperationsHandler({ health, metrics }),
    // A policy with thousands of targets and tenants.
    readMaxBytes: 16 << 20,
    metrics,
    log,
  });
  log.info({ address: server.address, key: signer.name }, "Listening");

  const running = migrateStore({ url: config.WEIR_DATABASE_URL, clock, log, signal }).then(() => policy.run(signal));
  return {
    async stop() {
      await server.drain(config.WEIR_DRAIN_TIMEOUT);
      await running;
      audit.close();
      await Promise.all([bus.close(), auditBus.close()]);
      await pool.end();
    },
  };
});
