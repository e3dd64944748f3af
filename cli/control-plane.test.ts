import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, it, onTestFinished, vi } from "vitest";
import { Health as HealthProto } from "../gen/grpc/health/v1/health_pb.ts";
import { Health } from "../services/shared/mesh/health.ts";
import { type MeshServer, startMeshServer } from "../services/shared/mesh/server.ts";
import { createLog } from "../services/shared/telemetry/log.ts";
import { CALL_OPTIONS, withClient } from "./control-plane.ts";
import { keepSession } from "./session/session-file.ts";

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

  it("shows the session's token to a mesh elsewhere, not to one of this machine, and after the token of the environment", async () => {
    const shown: (string | undefined)[] = [];
    const listener = createServer((request, response) => {
      shown.push(request.headers.authorization);
      response.end();
    });
    await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
    const folder = mkdtempSync(join(tmpdir(), "weir-session-"));
    onTestFinished(() => {
      rmSync(folder, { recursive: true, force: true });
      listener.close();
    });
    const expiresAtMs = Number.MAX_SAFE_INTEGER;
    const session = { issuer: "https://login.example.org", clientId: "weir", token: "of-the-session", expiresAtMs };
    keepSession(join(folder, "session.json"), session);
    vi.stubEnv("WEIR_SESSION", join(folder, "session.json"));
    const address = `127.0.0.1:${(listener.address() as AddressInfo).port}`;
    const show = (endpoint: { readonly address: string; readonly tokenFile?: string }) =>
      withClient(endpoint, HealthProto, (client) => client.check({ service: "" }, CALL_OPTIONS)).catch(() => undefined);

    await show({ address });
    await show({ address, tokenFile: join(folder, "no-admin-key") });
    vi.stubEnv("WEIR_TOKEN", "of-the-environment");
    await show({ address });

    expect(shown).toEqual(["Bearer of-the-session", undefined, "Bearer of-the-environment"]);
  });
});
