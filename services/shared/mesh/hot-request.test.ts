import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterEach, describe, expect, it } from "vitest";
import {
  SnapshotService,
  type WatchSnapshotsRequest,
  WatchSnapshotsRequestSchema,
} from "../../../gen/weir/policy/v1/snapshot_service_pb.ts";
import type { Identity } from "../authority/identity.ts";
import { fromConnectError } from "../errors/wire.ts";
import { createLog } from "../telemetry/log.ts";
import { Health } from "./health.ts";
import { createHotRequestReader } from "./hot-request.ts";
import type { HotCall } from "./hot-rpc.ts";
import { type MeshServer, startMeshServer } from "./server.ts";

const ROUTER: Identity = { kind: "service", service: "router", region: "eu", instance: "eu-1" };
const ASKED = { region: "eu", instance: "eu-1", boot: "b1" };

let server: MeshServer;
afterEach(() => server.close());

/** A watch of snapshots that is served off its stream, to whom `identify` says, and a client of it. */
async function start(options: {
  readonly identity?: Identity;
  readonly identify?: () => Promise<Identity>;
  readonly onRequest?: (call: HotCall, request: WatchSnapshotsRequest) => void;
}) {
  const { identity = ROUTER, onRequest = (call) => call.end() } = options;
  const asked: WatchSnapshotsRequest[] = [];
  const identify = options.identify ?? (() => identity);
  const health = new Health();
  const read = createHotRequestReader({ schema: WatchSnapshotsRequestSchema, limitBytes: 1_000 });
  server = await startMeshServer({
    listen: { host: "127.0.0.1", port: 0 },
    authority: { identify },
    services: [SnapshotService],
    routes: () => undefined,
    reflection: false,
    health,
    log: createLog({ service: "test", level: "silent" }),
    hot: [
      {
        method: SnapshotService.method.watchSnapshots,
        open: (call) =>
          read(call, (request) => {
            asked.push(request);
            onRequest(call, request);
          }),
      },
    ],
  });
  const { port } = server.address;
  const client = createClient(SnapshotService, createGrpcTransport({ baseUrl: `http://127.0.0.1:${port}` }));
  const watch = async (
    request: MessageInitShape<typeof WatchSnapshotsRequestSchema> = ASKED,
  ): Promise<ConnectError | undefined> => {
    try {
      for await (const _ of client.watchSnapshots(request));
      return undefined;
    } catch (error) {
      return ConnectError.from(error);
    }
  };
  return { asked, watch, health };
}

describe("createHotRequestReader()", () => {
  it("hands out the request of a caller who may make it", async () => {
    const { asked, watch } = await start({});

    expect(await watch()).toBeUndefined();
    expect(asked).toMatchObject([ASKED]);
  });

  it("waits for an authority that takes its time", async () => {
    const { asked, watch } = await start({ identify: async () => ROUTER });

    expect(await watch()).toBeUndefined();
    expect(asked).toHaveLength(1);
  });

  it("refuses a stranger, whatever is asked", async () => {
    const { asked, watch } = await start({ identity: { kind: "stranger" } });

    expect(fromConnectError(await watch({ region: "not a region" })).reason).toBe("IDENTITY_MISSING");
    expect(asked).toEqual([]);
  });

  it("refuses a router what is another region's or another router's", async () => {
    const { asked, watch } = await start({});

    expect(fromConnectError(await watch({ ...ASKED, region: "us" })).reason).toBe("PERMISSION_DENIED");
    expect(fromConnectError(await watch({ ...ASKED, instance: "eu-2" })).reason).toBe("PERMISSION_DENIED");
    expect(asked).toEqual([]);
  });

  it("refuses what breaks a rule of the proto, with the field", async () => {
    const { asked, watch } = await start({});

    const refused = fromConnectError(await watch({ ...ASKED, boot: "x".repeat(200) }));

    expect(refused).toMatchObject({ reason: "ARGUMENT_INVALID", violations: [{ field: "boot" }] });
    expect(asked).toEqual([]);
  });

  it("refuses a message that is larger than it may be", async () => {
    const { watch } = await start({});

    expect(fromConnectError(await watch({ ...ASKED, features: ["x".repeat(2_000)] })).reason).toBe("BODY_TOO_LARGE");
  });
});

describe("a hot watch", () => {
  it("ends with DRAINING as soon as the instance begins to drain", async () => {
    const begun = Promise.withResolvers<void>();
    const { watch, health } = await start({ onRequest: () => begun.resolve() });
    const watching = watch();
    await begun.promise;

    health.drain();

    const ended = await watching;
    expect([ended?.code, fromConnectError(ended).reason]).toEqual([Code.Unavailable, "DRAINING"]);
  });
});
