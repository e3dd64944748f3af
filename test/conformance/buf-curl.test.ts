// `buf curl`, which has no protos but what server reflection tells it: a stand-in for grpcurl. Each service of the mesh, both
// versions of reflection.
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { fromBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { type Mesh, startMesh } from "../mesh.ts";

const BUF = join(import.meta.dirname, "../../node_modules/.bin/buf");

let mesh: Mesh;
/** An empty folder, so that buf finds no module with our protos and must ask the server. */
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "weir-buf-curl-"));
  mesh = await startMesh({ name: "buf-curl" });
});

afterAll(async () => {
  await mesh?.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function curl(...parameters: string[]): Promise<string> {
  const all = ["curl", "--http2-prior-knowledge", "--protocol", "grpc", ...parameters];
  const { stdout } = await promisify(execFile)(BUF, all, { cwd: folder, env: { ...process.env, HOME: folder } });
  return stdout;
}

const EVERYWHERE = ["grpc.health.v1.Health/Check", "grpc.health.v1.Health/List", "grpc.health.v1.Health/Watch"];
const AUDIT = [
  "weir.audit.v1.AuditService/GetCheckpoint",
  "weir.audit.v1.AuditService/ListRecords",
  "weir.audit.v1.IntakeService/GetWatermark",
];
const SERVICES: [name: string, url: () => string, methods: string[]][] = [
  [
    "policy",
    () => `http://${mesh.addresses.policy.address}`,
    [
      "weir.policy.v1.ExplainService/Explain",
      "weir.policy.v1.KeyService/CreateKey",
      "weir.policy.v1.PolicyService/PublishPolicy",
      "weir.policy.v1.ReleaseService/ListInstances",
      "weir.policy.v1.SnapshotService/WatchSnapshots",
    ],
  ],
  [
    "metering",
    () => `http://${mesh.addresses.metering.address}`,
    ["weir.metering.v1.IntakeService/GetWatermark", "weir.metering.v1.SpendService/QuerySpend"],
  ],
  ["the control plane's audit", () => `http://${mesh.addresses.audit.control?.address}`, AUDIT],
  ["a region's audit", () => `http://${mesh.addresses.audit.eu?.address}`, AUDIT],
  [
    "a router for callers",
    () => mesh.routerUrl("eu"),
    [
      "weir.router.v1.ChatService/Complete",
      "weir.router.v1.ChatService/Stream",
      "weir.router.v1.EmbeddingService/Embed",
    ],
  ],
  ["a router for operators", () => mesh.routerAdminUrl("eu"), []],
];

describe.each(SERVICES)("%s", (_, url, methods) => {
  it.each(["grpc-v1", "grpc-v1alpha"])("lists its methods by reflection %s", async (version) => {
    const listed = await curl("--reflect-protocol", version, "--list-methods", url());

    expect(listed.trim().split("\n")).toEqual(expect.arrayContaining([...EVERYWHERE, ...methods]));
  });

  it.each(["grpc-v1", "grpc-v1alpha"])("says that it serves, asked by reflection %s", async (version) => {
    const answer = await curl("--reflect-protocol", version, `${url()}/grpc.health.v1.Health/Check`);

    expect(JSON.parse(answer)).toEqual({ status: "SERVING" });
  });
});

it.each([
  ["policy", () => `http://${mesh.addresses.policy.address}/weir.policy.v1.PolicyService/GetPolicy`, {}, "policy"],
  [
    "policy",
    () => `http://${mesh.addresses.policy.address}/weir.policy.v1.KeyService/ListKeys`,
    { organisation: "demo" },
    "keys",
  ],
  [
    "policy",
    () => `http://${mesh.addresses.policy.address}/weir.policy.v1.ReleaseService/ListInstances`,
    {},
    "instances",
  ],
  [
    "metering",
    () => `http://${mesh.addresses.metering.address}/weir.metering.v1.SpendService/QuerySpend`,
    { organisation: "demo" },
    "",
  ],
  [
    "audit",
    () => `http://${mesh.addresses.audit.control?.address}/weir.audit.v1.AuditService/ListRecords`,
    {},
    "records",
  ],
  ["audit", () => `http://${mesh.addresses.audit.eu?.address}/weir.audit.v1.AuditService/ListCheckpoints`, {}, ""],
])("calls %s with a typed request", async (_, url, request, field) => {
  const answer = JSON.parse(
    await curl("-H", `authorization: Bearer ${mesh.adminKey}`, "-d", JSON.stringify(request), url()),
  );

  if (field !== "") expect(answer).toHaveProperty(field);
});

describe("a router", () => {
  const REQUEST = JSON.stringify({
    input: {
      model: "small",
      messages: [{ role: "ROLE_USER", blocks: [{ text: { text: "How deep is the river?" } }] }],
    },
  });

  it.each(["grpc", "grpcweb", "connect"])("answers a chat over %s", async (protocol) => {
    const url = `${mesh.routerUrl("eu")}/weir.router.v1.ChatService/Complete`;

    const answer = await curl("--protocol", protocol, "-H", `authorization: Bearer ${mesh.key}`, "-d", REQUEST, url);

    expect(JSON.parse(answer)).toMatchObject({ candidates: [{ stopReason: "STOP_REASON_END" }] });
  });

  it("streams a chat", async () => {
    const url = `${mesh.routerUrl("eu")}/weir.router.v1.ChatService/Stream`;

    const answer = await curl("-H", `authorization: Bearer ${mesh.key}`, "-d", REQUEST, url);

    expect(answer).toContain('"blockDelta"');
    expect(answer).toContain('"ended"');
  });

  it("names the reason when it refuses", async () => {
    const url = `${mesh.routerUrl("eu")}/weir.router.v1.ChatService/Complete`;

    const { stderr } = await curl("-d", REQUEST, url).then(
      () => Promise.reject(new Error("Cannot find a refusal: the call succeeded")),
      (error: { stderr: string }) => error,
    );

    // It prints details as it got them.
    const { code, details } = JSON.parse(stderr) as { code: string; details: { type: string; value: string }[] };
    const info = fromBinary(ErrorInfoSchema, Buffer.from(details[0]?.value ?? "", "base64"));
    expect([code, details[0]?.type, info.reason]).toEqual(["unauthenticated", "google.rpc.ErrorInfo", "KEY_MISSING"]);
  });
});
