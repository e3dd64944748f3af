import type { DescService } from "@bufbuild/protobuf";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import {
  HealthCheckResponse_ServingStatus,
  type Health as HealthProto,
} from "../../../gen/grpc/health/v1/health_pb.ts";
import type { Health, Readiness } from "./health.ts";

const { SERVING, NOT_SERVING, SERVICE_UNKNOWN } = HealthCheckResponse_ServingStatus;

/**
 * Serves grpc.health.v1 from a process's readiness: for "" (the whole process) and each of `services` alike. An unknown
 * service is NOT_FOUND in Check and SERVICE_UNKNOWN in Watch, as its proto says.
 */
export function createHealthService(health: Health, services: readonly DescService[]): ServiceImpl<typeof HealthProto> {
  const names = new Set(["", ...services.map((service) => service.typeName)]);
  return {
    check({ service }) {
      // The message of the specification; it does not repeat the name, which comes from outside.
      if (!names.has(service)) throw new ConnectError("unknown service", Code.NotFound);
      return { status: toStatus(health.readiness) };
    },
    list() {
      return { statuses: Object.fromEntries([...names].map((name) => [name, { status: toStatus(health.readiness) }])) };
    },
    async *watch({ service }, { signal }) {
      let last: HealthCheckResponse_ServingStatus | undefined;
      for await (const readiness of health.watch(signal)) {
        const status = names.has(service) ? toStatus(readiness) : SERVICE_UNKNOWN;
        if (status !== last) yield { status };
        last = status;
      }
    },
  };
}

function toStatus(readiness: Readiness): typeof SERVING | typeof NOT_SERVING {
  return readiness.ready ? SERVING : NOT_SERVING;
}
