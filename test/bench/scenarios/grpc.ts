import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { create, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { Role } from "../../../gen/weir/router/v1/chat_pb.ts";
import {
  ChatService,
  CompleteRequestSchema,
  StreamRequestSchema,
} from "../../../gen/weir/router/v1/chat_service_pb.ts";
import { findCommand } from "../machine/find-command.ts";
import { measure, type Sample } from "../measure.ts";
import type { LoadReport } from "../native/report.ts";
import { createPrompt } from "../prompts.ts";
import { CORES, run } from "../setup.ts";
import { type Scenario, type ScenarioContext, toCommonFigures } from "./scenario.ts";
import { createEmptyReport } from "./start-up.ts";

const EVENTS = 64;

interface Rpc {
  readonly name: string;
  readonly about: string;
  readonly protocol: "grpc" | "connect";
  readonly method: string;
  readonly message: () => Uint8Array;
  /** Calls under way at a time, over 8 connections. */
  readonly calls: number;
  readonly events: number;
}

const RPCS: readonly Rpc[] = [
  {
    name: "grpc-unary",
    about: "Saturation: ChatService.Complete over gRPC, 64 calls at a time on 8 connections, prompts of 4.5 KB",
    protocol: "grpc",
    method: "Complete",
    message: () => encode(CompleteRequestSchema, { input: createInput("latency_us=0") }),
    calls: 64,
    events: 0,
  },
  {
    name: "connect-unary",
    about: "The same over Connect and HTTP/2, which the universal handler of connect-node serves",
    protocol: "connect",
    method: "Complete",
    message: () => encode(CompleteRequestSchema, { input: createInput("latency_us=0") }),
    calls: 64,
    events: 0,
  },
  {
    name: "grpc-stream",
    about: `ChatService.Stream over gRPC, ${EVENTS} events 5 ms apart, 64 streams at a time on 8 connections`,
    protocol: "grpc",
    method: "Stream",
    message: () => encode(StreamRequestSchema, { input: createInput(`events=${EVENTS};gap_us=5000`) }),
    calls: 64,
    events: EVENTS,
  },
];
const CONNECTIONS = 8;

/** gRPC on the hot path. The load is h2load's, of Debian's nghttp2-client; nothing but Weir speaks it. */
export const grpcScenarios: readonly Scenario[] = RPCS.map((rpc) => ({
  name: rpc.name,
  about: rpc.about,
  seconds: 3,
  findObstacle: () => (findCommand("h2load") ? undefined : "h2load is not installed"),
  takes: ({ servesGrpc }) => servesGrpc === true,
  warmUp: (context) => makeCalls(context, rpc),
  run: async (context) => {
    const sample = await measure(context.setup, context.contender, () => makeCalls(context, rpc));
    const figures = toCommonFigures(sample);
    const { cpu } = figures;
    return {
      sample: { ...sample, problems: [...sample.problems, ...findLost(sample)] },
      figures: rpc.events > 0 && cpu !== undefined ? { ...figures, cpuPerEvent: cpu / rpc.events } : figures,
    };
  },
}));

/** A gRPC call that fails has status 200 all the same: whether calls came through, the provider knows. */
function findLost({ report, provided }: Sample): string[] {
  return provided < report.requests ? [`only ${provided} of ${report.requests} calls reached the provider`] : [];
}

async function makeCalls({ setup, contender, seconds }: ScenarioContext, rpc: Rpc): Promise<LoadReport> {
  const folder = join(setup.folder, "prompts");
  mkdirSync(folder, { recursive: true });
  const body = join(folder, `${rpc.name}.bin`);
  const message = rpc.message();
  const frame = Buffer.alloc(5);
  frame.writeUInt32BE(message.length, 1);
  writeFileSync(body, rpc.protocol === "grpc" ? Buffer.concat([frame, message]) : message);
  const protocol = {
    grpc: ["content-type: application/grpc", "te: trailers"],
    connect: ["content-type: application/proto", "connect-protocol-version: 1"],
  }[rpc.protocol];
  const headers = [...protocol, ...contender.headers];
  const output = await run(
    findCommand("h2load") as string,
    [
      ...["-t", "1", "-c", String(CONNECTIONS), "-m", String(rpc.calls / CONNECTIONS), "-D", String(seconds)],
      ...["-d", body, ...headers.flatMap((header) => ["-H", header])],
      `http://127.0.0.1:${contender.port}/${ChatService.typeName}/${rpc.method}`,
    ],
    CORES.load,
  );
  return toReport(output, seconds, rpc.events);
}

/** Reads what h2load prints. It times nothing that could be compared, so there are no percentiles. */
export function toReport(output: string, seconds: number, eventsPerCall: number): LoadReport {
  const counts = /^requests: .*?(\d+) done, (\d+) succeeded, (\d+) failed/m.exec(output);
  if (counts === null) throw new Error(`Cannot read what h2load printed: ${output.slice(0, 500)}`);
  const [succeeded, failed] = [Number(counts[2]), Number(counts[3])];
  const events = succeeded * eventsPerCall;
  return {
    ...createEmptyReport(seconds),
    requests: succeeded,
    errors: { status: {}, connect: 0, reset: failed, timeout: 0, incomplete: 0 },
    rps: succeeded / seconds,
    events,
    connectionsOpened: CONNECTIONS,
    wholeRun: { requests: succeeded, events, bytes: 0 },
  };
}

function createInput(provider: string): MessageInitShape<typeof CompleteRequestSchema>["input"] {
  const { messages } = JSON.parse(createPrompt({ bytes: 4_500 }).toString()) as {
    messages: { role: "system" | "user" | "assistant"; content: string }[];
  };
  const roles = { system: Role.SYSTEM, user: Role.USER, assistant: Role.ASSISTANT } as const;
  return {
    model: "small",
    messages: messages.map(({ role, content }) => ({
      role: roles[role],
      blocks: [{ content: { case: "text", value: { text: content } } }],
    })),
    extras: { metadata: { bench: provider } },
  };
}

function encode<Schema extends DescMessage>(schema: Schema, message: MessageInitShape<Schema>): Uint8Array {
  return toBinary(schema, create(schema, message));
}
