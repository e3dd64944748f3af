import { IntakeService } from "../../gen/weir/metering/v1/intake_service_pb.ts";
import { SpendService } from "../../gen/weir/metering/v1/spend_service_pb.ts";
import { openAuthority } from "../shared/authority/open-authority.ts";
import { connectBus } from "../shared/bus/bus.ts";
import { systemClock } from "../shared/clock.ts";
import { createPool } from "../shared/database/pool.ts";
import { Health } from "../shared/mesh/health.ts";
import { openTls } from "../shared/mesh/open-tls.ts";
import { createOperationsHandler } from "../shared/mesh/operations.ts";
import { startMeshServer } from "../shared/mesh/server.ts";
import { runService, type ServiceContext, type Stoppable } from "../shared/process.ts";
import { createMetrics } from "../shared/telemetry/metrics.ts";
import { createAlarm } from "./alarm.ts";
import { readConfig } from "./config.ts";
import { hearUsages } from "./intake.ts";
import { createIntakeService } from "./intake-service.ts";
import { takeInFacts } from "./spend.ts";
import { createSpendService } from "./spend-service.ts";
import { openStore } from "./store/open-store.ts";
import { commitIntake } from "./store/usages.ts";
import { keepUp } from "./upkeep.ts";

async function start({ environment, log, signal }: ServiceContext): Promise<Stoppable> {
  const config = readConfig(environment, log);
  const clock = systemClock;
  const metrics = createMetrics("metering");
  const health = new Health({ gauge: metrics.weir_ready });
  const tls = openTls({ settings: config, clock, log, metrics, signal });
  const authority = openAuthority({ settings: config, clock, log, metrics, signal });
  const pool = createPool({ url: config.WEIR_DATABASE_URL, max: config.WEIR_DATABASE_CONNECTIONS, log });
  const bus = await connectBus({ urls: [config.WEIR_NATS_URL], name: "metering", log });
  metrics.weir_bus_connected.set({ bus: "mesh" }, 0);
  bus.onChange((up) => metrics.weir_bus_connected.set({ bus: "mesh" }, up ? 1 : 0), signal);

  const server = await startMeshServer({
    listen: config.WEIR_LISTEN,
    tls,
    routes: (router) => {
      router.service(SpendService, createSpendService(pool, clock));
      router.service(IntakeService, createIntakeService(pool));
    },
    services: [SpendService, IntakeService],
    authority,
    reflection: config.WEIR_REFLECTION,
    health,
    fallback: createOperationsHandler({ health, metrics }),
    metrics,
    log,
  });
  log.info({ address: server.address }, "Listening");

  const report = createAlarm({ metrics, log });
  const commit = commitIntake.bind(undefined, pool);
  const working = (async () => {
    await openStore({ url: config.WEIR_DATABASE_URL, pool, clock, log, signal });
    await Promise.all([
      keepUp({ pool, health, metrics, clock, log, signal }),
      hearUsages({
        bus,
        regions: config.WEIR_REGIONS,
        takeIn: (facts, handling) => takeInFacts(facts, { commit, report, clock }, handling),
        signal,
      }),
    ]);
  })();

  return {
    async stop() {
      await Promise.all([server.drain(config.WEIR_DRAIN_TIMEOUT), working]);
      await bus.close();
      await pool.end();
    },
  };
}

runService("metering", start);
