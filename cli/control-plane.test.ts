import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { Health as HealthProto } from "../gen/grpc/health/v1/health_pb.ts";
import { Health } from "../services/shared/mesh/health.ts";
import { type MeshServer, startMeshServer } from "../services/shared/mesh/server.ts";
import { createLog } from "../services/shared/telemetry/log.ts";
import { CALL_OPTIONS, withClient } from "./control-plane.ts";

const folder = join(import.meta.dirname, "../services/shared/mesh/testdata");
const files = {
  certificate: join(folder, "leaf.pem"),
  key: join(folder, "leaf.key"),
  authorities: join(folder, "ca.pem"),
};
let server: MeshServer;

beforeAll(async () => {
  const health = new Health();
  health.setReady();
  server = await startMeshServer({
    listen: { host: "127.0.0.1", port: 0 },
    tls: {
      certificate: readFileSync(files.certificate),
      key: readFileSync(files.key),
      authorities: readFileSync(files.authorities),
    },
    routes: () => undefined,
    services: [],
    reflection: false,
    health,
    log: createLog({ service: "test", level: "fatal" }),
  });
  return () => server.close();
});
afterEach(() => vi.unstubAllEnvs());

const ask = () =>
  withClient(`127.0.0.1:${server.address.port}`, HealthProto, (client) => client.check({ service: "" }, CALL_OPTIONS));

describe("withClient()", () => {
  it("shows the certificate that the environment names to a control plane that wants one", async () => {
    vi.stubEnv("WEIR_TLS_CERTIFICATE", files.certificate);
    vi.stubEnv("WEIR_TLS_KEY", files.key);
    vi.stubEnv("WEIR_TLS_CLIENT_CA", files.authorities);
    await expect(ask()).resolves.toMatchObject({ status: 1 });
  });

  it("says which address nobody answers at, and what to look at", async () => {
    const asked = withClient("127.0.0.1:1", HealthProto, (client) => client.check({ service: "" }, CALL_OPTIONS));

    await expect(asked).rejects.toThrow(/^Cannot call 127\.0\.0\.1:1: .*is this its address/);
  });

  it("without certificates it is not let in", async () => {
    await expect(ask()).rejects.toThrow();
  });
});
