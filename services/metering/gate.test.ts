import { type ConnectRouter, createClient, createRouterTransport, type Interceptor } from "@connectrpc/connect";
import { expect, it } from "vitest";
import { Health } from "../../gen/grpc/health/v1/health_pb.ts";
import { IntakeService } from "../../gen/weir/metering/v1/intake_service_pb.ts";
import { toConnectError } from "../shared/errors/wire.ts";
import { createGate } from "./gate.ts";

const wire: Interceptor = (next) => async (request) => {
  try {
    return await next(request);
  } catch (error) {
    throw toConnectError(error);
  }
};

const routes = (router: ConnectRouter): void => {
  router.service(IntakeService, { getWatermark: () => ({ seq: 7n }) });
  router.service(Health, { check: () => ({}) });
};

it("refuses calls until the store is open, then lets them through; health is answered always", async () => {
  let opened = false;
  const transport = createRouterTransport(routes, { router: { interceptors: [wire, createGate(() => opened)] } });
  const intake = createClient(IntakeService, transport);
  const name = { region: "eu", instance: "eu-1", boot: "b" };

  await expect(intake.getWatermark(name)).rejects.toThrow("the store is not open yet");
  await createClient(Health, transport).check({});
  opened = true;

  expect(await intake.getWatermark(name)).toMatchObject({ seq: 7n });
});
