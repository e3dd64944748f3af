import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { create, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { Dialect } from "../../gen/weir/policy/v1/policy_pb.ts";
import { type Snapshot, type SnapshotProviderSchema, SnapshotSchema } from "../../gen/weir/policy/v1/snapshot_pb.ts";
import { Meter } from "../../gen/weir/type/v1/usage_pb.ts";
import { type Clock, systemClock } from "../shared/clock.ts";
import { WeirError } from "../shared/errors/weir-error.ts";
import { createKey } from "../shared/key/key.ts";
import { Health } from "../shared/mesh/health.ts";
import { type PinnedPolicy, SnapshotHold } from "../shared/snapshot/hold.ts";
import { SAMPLE_TRUST, sampleKeyEntry, sampleKeyring, sampleSnapshot } from "../shared/snapshot/snapshots.fixture.ts";
import { createLog } from "../shared/telemetry/log.ts";
import type { Accounting, CallListener } from "./accounting/accounting.ts";
import type { Outcome } from "./accounting/outcome.ts";
import type { StartedCall } from "./accounting/started-call.ts";
import type { Denial } from "./admission/admission.ts";
import { LimitCounters } from "./admission/counters.ts";
import { BodyMemory } from "./arrival/body-memory.ts";
import { openCallerPort } from "./caller-port.ts";
import { Chats } from "./chat.ts";
import { WorkerCounter } from "./counting/token-counter.ts";
import type { FindCredential } from "./credentials/credential.ts";
import { ChatDispatcher } from "./dispatch/dispatch.ts";
import { Pools } from "./dispatch/pools.ts";
import { DeadlineSweep } from "./dispatch/sweep.ts";
import { Standings } from "./ejection/standings.ts";
import type { Dialect as ProviderDialect } from "./providers/dialect.ts";
import { findDialect } from "./providers/registry.ts";
import { UpstreamBook } from "./routing/upstream-book.ts";

/** A provider of a test: answers as its handler says, and keeps what it was sent. */
export interface TestProvider {
  readonly url: string;
  readonly requests: { readonly headers: IncomingMessage["headers"]; readonly body: string; readonly path: string }[];
  /** Resolves when a caller has gone away before its answer was whole. */
  readonly left: Promise<void>;
  close(): Promise<void>;
}

/** Answers one request of a router. */
export type ProviderHandler = (response: ServerResponse, body: Record<string, unknown>) => void;

/** Starts a provider on loopback. */
export async function startProvider(handler: ProviderHandler): Promise<TestProvider> {
  const requests: TestProvider["requests"] = [];
  const left = Promise.withResolvers<void>();
  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    response.once("close", () => response.writableFinished || left.resolve());
    request.once("end", () => {
      const body = Buffer.concat(chunks).toString();
      requests.push({ headers: request.headers, body, path: request.url ?? "" });
      handler(response, JSON.parse(body));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    requests,
    left: left.promise,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Accounting in memory, under the contract of the real one. */
export class MemoryAccounting implements Accounting {
  readonly started: StartedCall[] = [];
  readonly outcomes: { readonly started: StartedCall; readonly outcome: Outcome }[] = [];
  readonly refusals: Denial[] = [];
  isFull = false;
  /** Whether calls are refused after they were taken, as by a disk that fails. */
  takesNothing = false;
  #waiting: { readonly count: number; readonly resolve: () => void }[] = [];

  begin(started: StartedCall, listener: CallListener) {
    if (this.isFull) throw new WeirError("SPOOL_FULL", "Cannot start call: the spool is full");
    this.started.push(started);
    let isSettled = false;
    return {
      eventId: started.eventId,
      ensureBegun: () => {
        if (!this.takesNothing) return;
        const refusal = new WeirError("SPOOL_FULL", "Cannot start call: the disk takes nothing");
        listener.onRefused(refusal);
        throw refusal;
      },
      attemptStarted: () => undefined,
      settle: (outcome: Outcome) => {
        if (isSettled) throw new Error("settled twice");
        isSettled = true;
        this.outcomes.push({ started, outcome });
        this.#waiting = this.#waiting.filter(({ count, resolve }) => {
          if (this.outcomes.length < count) return true;
          resolve();
          return false;
        });
        setImmediate(() => listener.onSettled());
        return { costNanos: 0n };
      },
    };
  }

  refused(denial: Denial): void {
    this.refusals.push(denial);
  }

  async close(): Promise<void> {}

  /** Resolves once that many calls are settled. */
  whenSettled(count = 1): Promise<void> {
    if (this.outcomes.length >= count) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ count, resolve }));
  }
}

/** A provider of a test's policy: of the OpenAI dialect when it says nothing else. */
export type HarnessProvider = { readonly baseUrl: string } & Omit<
  MessageInitShape<typeof SnapshotProviderSchema>,
  "id" | "baseUrl" | "$typeName"
>;

/** Credentials of a test by name, which it may replace. */
export class TestCredentials {
  #find: FindCredential = () => undefined;

  constructor(secrets: ReadonlyMap<string, string>) {
    this.replace(secrets);
  }

  current(): FindCredential {
    return this.#find;
  }

  replace(secrets: ReadonlyMap<string, string>): void {
    this.#find = (_, name) => {
      const secret = secrets.get(name);
      return secret === undefined ? undefined : { secret, origins: [] };
    };
  }
}

/** What a router of a test is to be. */
export interface HarnessOptions {
  /** The policy that it runs, in place of the one that is made of `providers`. */
  readonly snapshot?: Snapshot;
  /** Where its calls are settled, in place of memory. */
  readonly accounting?: Accounting;
  /** The providers, or their base URLs, in the order of their priority; each has a target of the model "small". */
  readonly providers: readonly (string | HarnessProvider)[];
  /** Dialects that take the place of the real ones. */
  readonly dialects?: ReadonlyMap<Dialect, ProviderDialect>;
  readonly timeoutsMs?: Partial<Record<"connect" | "firstToken" | "idle" | "total", number>>;
  readonly bodyLimitBytes?: number;
  readonly bodyMemoryBytes?: number;
  readonly answerLimitBytes?: number;
  readonly requestsPerMinute?: number;
  readonly models?: string[];
  /** Whether the key was revoked. Default false. */
  readonly isKeyRevoked?: boolean;
  /** What else its grant says, such as the tools that it may offer. */
  readonly grant?: Parameters<typeof sampleKeyEntry>[2];
  /** Whether plain gRPC goes through the RPC library as well. Default false. */
  readonly allByLibrary?: boolean;
  /** Without one the router is not ready. Default true. */
  readonly hasPolicy?: boolean;
  /** Credentials by name; provider n wants "credential-n" when this is given. */
  readonly credentials?: ReadonlyMap<string, string>;
  /** Its time. Default the machine's. */
  readonly clock?: Clock;
}

/** A router of a test, in this process: everything but the spool and the road of the snapshot is real. */
export interface Harness {
  /** With /v1. */
  readonly url: string;
  readonly address: string;
  readonly key: string;
  readonly keyId: string;
  readonly accounting: MemoryAccounting;
  readonly memory: BodyMemory;
  readonly dispatcher: ChatDispatcher;
  readonly credentials: TestCredentials;
  /** Makes the upstreams anew with the credentials of now, as a router does when it hears of new ones. */
  renewUpstreams(): void;
  readonly standings: Standings;
  readonly logLines: string[];
  close(): Promise<void>;
}

/** A snapshot whose model "small" has a target at each provider. */
export function createSnapshot({ providers, timeoutsMs = {}, credentials }: HarnessOptions): Snapshot {
  const { content } = sampleSnapshot(1n, {
    providers: providers.map((provider, index) => ({
      id: `p${index}`,
      dialect: Dialect.OPENAI,
      ...(typeof provider === "string" ? { baseUrl: provider } : provider),
      credential: credentials === undefined ? "" : `credential-${index}`,
      connectTimeout: toDuration(timeoutsMs.connect ?? 5_000),
      firstTokenTimeout: toDuration(timeoutsMs.firstToken ?? 20_000),
      idleTimeout: toDuration(timeoutsMs.idle ?? 20_000),
      totalTimeout: toDuration(timeoutsMs.total ?? 60_000),
    })),
    targets: providers.map((_, index) => ({
      id: `p${index}/small`,
      provider: `p${index}`,
      model: `upstream-${index}`,
      prices: [
        { meter: Meter.INPUT_TOKENS, nanosPerMillion: 1_000_000_000n },
        { meter: Meter.OUTPUT_TOKENS, nanosPerMillion: 2_000_000_000n },
      ],
      maxOutputTokens: 1_000n,
    })),
    models: [
      { id: "small", routes: providers.map((_, index) => ({ target: `p${index}/small`, priority: index, weight: 1 })) },
    ],
  });
  return fromBinary(SnapshotSchema, content);
}

/** Pins a snapshot and a keyring with one key. */
export function pin(
  snapshot: Snapshot,
  options: { readonly keyId: string; readonly text: string } & Pick<
    HarnessOptions,
    "requestsPerMinute" | "models" | "isKeyRevoked" | "grant"
  >,
): PinnedPolicy {
  const hold = new SnapshotHold({ trust: SAMPLE_TRUST, region: "eu" });
  const sample = sampleSnapshot(1n, create(SnapshotSchema, snapshot));
  hold.offerSnapshot(sample.note, sample.content);
  const { requestsPerMinute, models, isKeyRevoked = false } = options;
  const entry = sampleKeyEntry(options.keyId, options.text, {
    ...(requestsPerMinute !== undefined && { requestsPerMinute }),
    ...(models !== undefined && { models }),
    ...(isKeyRevoked && { revokedAt: { seconds: 1n } }),
    ...options.grant,
  });
  const keyring = sampleKeyring(1n, [entry]);
  hold.offerKeyring(keyring.note, keyring.tree);
  const pinned = hold.current();
  if (pinned === undefined) throw new Error("The sample snapshot was refused");
  return pinned;
}

/** Starts a router on loopback. */
export async function startHarness(options: HarnessOptions): Promise<Harness> {
  const { keyId, text: key } = createKey("production");
  const pinned =
    options.hasPolicy === false
      ? undefined
      : pin(options.snapshot ?? createSnapshot(options), { ...options, keyId, text: key });
  const logLines: string[] = [];
  const log = createLog({
    service: "router",
    level: "debug",
    destination: { write: (line) => void logLines.push(line) },
  });
  const health = new Health();
  if (pinned !== undefined) health.setReady();
  const { clock = systemClock } = options;
  const memory = new BodyMemory(options.bodyMemoryBytes ?? 64 << 20);
  const sweep = new DeadlineSweep(clock, 5);
  const pools = new Pools({ connections: 64 });
  const counter = new WorkerCounter({ deadlines: sweep, clock, log, limitMs: 60_000 });
  const accounting = new MemoryAccounting();
  const credentials = new TestCredentials(options.credentials ?? new Map());
  const standings = new Standings({ clock, router: "eu-1" });
  const dispatcher = new ChatDispatcher({
    pools,
    standings,
    sweep,
    clock,
    memory,
    counter,
    answerLimitBytes: options.answerLimitBytes ?? 16 << 20,
  });
  const upstreams = new UpstreamBook(
    () => credentials.current(),
    (id, kind) => options.dialects?.get(id) ?? findDialect(id, kind),
  );
  const chats = new Chats({
    current: () => pinned,
    getKeyringAgeMs: () => 0,
    counters: new LimitCounters(),
    upstreams,
    standings,
    accounting: options.accounting ?? accounting,
    dispatcher,
    observer: {
      onRefusal: () => undefined,
      onRulesFailed: () => undefined,
      onAsked: () => undefined,
      onOutcome: () => undefined,
    },
    clock,
    log,
  });
  const server = await openCallerPort({
    listen: { host: "127.0.0.1", port: 0 },
    chats,
    body: { limitBytes: options.bodyLimitBytes ?? 1 << 20, memory, deadlines: sweep, clock },
    requestTimeoutMs: 60_000,
    allByLibrary: options.allByLibrary ?? false,
    onRefusal: () => undefined,
    reflection: true,
    health,
    clock,
    log,
  });
  const address = `http://127.0.0.1:${server.address.port}`;
  return {
    credentials,
    renewUpstreams: () => pinned && standings.keepOnly(upstreams.renew(pinned.snapshot).listTargets()),
    url: `${address}/v1`,
    address,
    key,
    keyId,
    accounting,
    memory,
    dispatcher,
    standings,
    logLines,
    close: async () => {
      await server.close();
      dispatcher.cutAll(new WeirError("DRAINING", "Cannot go on: the test is over"));
      await counter.stop();
      sweep.close();
      await pools.close();
    },
  };
}

function toDuration(ms: number) {
  return { seconds: BigInt(Math.floor(ms / 1000)), nanos: (ms % 1000) * 1_000_000 };
}

/** Answers as OpenAI does, in one piece or as a stream. */
export const answerWell: ProviderHandler = (response, body) => {
  const usage = { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 };
  const base = { id: "chatcmpl-1", created: 1, model: body.model, x_unknown: { kept: true } };
  if (body.stream !== true) {
    const message = { role: "assistant", content: "Hello world", refusal: null };
    const choices = [{ index: 0, message, logprobs: null, finish_reason: "stop" }];
    response.writeHead(200, { "content-type": "application/json", "openai-processing-ms": "5", "set-cookie": "a=b" });
    response.end(JSON.stringify({ ...base, object: "chat.completion", choices, usage }));
    return;
  }
  const wantsUsage = (body.stream_options as { include_usage?: boolean } | undefined)?.include_usage === true;
  const event = (choices: unknown[], used: unknown = null) =>
    `data: ${JSON.stringify({ ...base, object: "chat.completion.chunk", choices, ...(wantsUsage && { usage: used }) })}\n\n`;
  const delta = (content: object, finish: string | null = null) => [
    { index: 0, delta: content, finish_reason: finish },
  ];
  response.writeHead(200, { "content-type": "text/event-stream" });
  response.write(event(delta({ role: "assistant", content: "" })));
  response.write(event(delta({ content: "Hello" })));
  response.write(event(delta({ content: " world" })));
  response.write(event(delta({}, "stop")));
  if (wantsUsage) response.write(event([], usage));
  response.end("data: [DONE]\n\n");
};

/** Answers with a status and an error object. */
export function answerError(status: number, error: object = {}, headers: Record<string, string> = {}): ProviderHandler {
  return (response) => {
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(
      JSON.stringify({ error: { message: "from the provider", type: "t", param: null, code: null, ...error } }),
    );
  };
}

/** Answers with events and then does what `end` says: finishes cleanly, resets, or stays silent. */
export function answerEvents(events: readonly string[], end: "finish" | "reset" | "silence"): ProviderHandler {
  return (response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(events.map((event) => `data: ${event}\n\n`).join(""), () => {
      if (end === "finish") response.end();
      else if (end === "reset") response.socket?.resetAndDestroy();
    });
  };
}

/** An event that carries text. */
export function contentEvent(text: string): string {
  return JSON.stringify({ id: "c", choices: [{ index: 0, delta: { content: text }, finish_reason: null }] });
}
