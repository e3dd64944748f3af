import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { Code, ConnectError, type StreamResponse, type Transport, type UnaryResponse } from "@connectrpc/connect";
import { Client, type ClientReadableStream, Metadata } from "@grpc/grpc-js";
import { type Clock, systemClock } from "../clock.ts";
import { WeirError } from "../errors/weir-error.ts";
import { type Address, parseAddress } from "../settings.ts";
import type { Log } from "../telemetry/log.ts";
import { formatAddress, toTarget } from "./address-resolver.ts";
import { createChannelCredentials } from "./channel-credentials.ts";
import { toCallError, toHeaders } from "./client-error.ts";
import { type ClientTls, isLoopback } from "./tls.ts";

/** Where a service is and how its channel is kept. */
export interface MeshTransportOptions {
  /** One or more instances as `host:port`; calls go around those that answer. */
  readonly addresses: readonly string[];
  /**
   * Certificates of this process and the authorities it trusts. Default: plain text, for loopback. With several
   * addresses each instance must have a certificate for the host of the first.
   */
  readonly tls?: ClientTls | undefined;
  /**
   * Token or admin key of an operator, sent with each call; asked for anew each time. Refused (SETTING_INVALID) where it would go beyond
   * loopback in plain text. Default: none.
   */
  readonly token?: () => string | undefined;
  /** How long a unary call without a deadline of its own may take, milliseconds. Default 10,000. */
  readonly defaultTimeoutMs?: number;
  /** Whether a call waits (within its deadline) for an instance to be there, or fails at once. Default true. */
  readonly waitForReady?: boolean;
  readonly log?: Log | undefined;
  readonly clock?: Clock;
}

/** A channel to a service of the mesh: hand it to `createClient` of Connect; close it when done. */
export type MeshTransport = Transport & {
  /** Ends all calls and connections. */
  close(): void;
};

const CHANNEL_OPTIONS = {
  "grpc.service_config": JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] }),
  // A peer whose machine is gone is noticed within half a minute, also by a stream that only listens.
  "grpc.keepalive_time_ms": 20_000,
  "grpc.keepalive_timeout_ms": 10_000,
  "grpc.keepalive_permit_without_calls": 1,
  "grpc.initial_reconnect_backoff_ms": 200,
  "grpc.min_reconnect_backoff_ms": 200,
  "grpc.max_reconnect_backoff_ms": 5_000,
  // Pages are at most 256 KiB; an answer beyond this is no answer of ours.
  "grpc.max_receive_message_length": 8 << 20,
  // A channel of one owner is not held open by another's.
  "grpc.use_local_subchannel_pool": 1,
} as const;

/**
 * Creates a Connect transport over a grpc-js channel: unary calls and server streams, with deadline, abort signal,
 * metadata and error details. It connects at the first call and again for ever; nothing has to be up before. Errors are
 * ConnectErrors (`fromConnectError` makes WeirErrors of them). A stream without `timeoutMs` has no deadline: give it a
 * signal, and abort that when done, since Connect's clients do not tell a transport that a loop was left.
 */
export function createMeshTransport(options: MeshTransportOptions): MeshTransport {
  const addresses = options.addresses.map(parseAddress);
  if (addresses.length === 0) throw new WeirError("SETTING_INVALID", "Cannot reach service: it has no address");
  const exposed = options.tls === undefined && addresses.find(({ host }) => !isLoopback(host));
  if (options.token !== undefined && exposed) {
    throw new WeirError(
      "SETTING_INVALID",
      `Cannot reach ${exposed.host}: a token is not sent in plain text, set WEIR_TLS_CLIENT_CA`,
      {
        facts: { host: exposed.host },
      },
    );
  }
  const client = new Client(findTarget(addresses), createChannelCredentials(options.tls), CHANNEL_OPTIONS);
  const { defaultTimeoutMs = 10_000, waitForReady = true, clock = systemClock } = options;

  function begin(header: ConstructorParameters<typeof Headers>[0], timeoutMs: number | undefined) {
    const metadata = new Metadata({ waitForReady });
    const token = options.token?.();
    if (token !== undefined) metadata.set("authorization", `Bearer ${token}`);
    new Headers(header).forEach((value, key) => {
      metadata.add(key, key.endsWith("-bin") ? Buffer.from(value, "base64") : value);
    });
    const hasDeadline = timeoutMs !== undefined && timeoutMs > 0;
    return { metadata, callOptions: hasDeadline ? { deadline: clock.nowMs() + timeoutMs } : {} };
  }

  return {
    unary(method, signal, timeoutMs, header, input) {
      const path = `/${method.parent.typeName}/${method.name}`;
      const { metadata, callOptions } = begin(header, timeoutMs ?? defaultTimeoutMs);
      return new Promise<UnaryResponse<typeof method.input, typeof method.output>>((resolve, reject) => {
        if (signal?.aborted) return reject(toAbortError(path, signal));
        const responseHeader = new Headers();
        const trailer = new Headers();
        const call = client.makeUnaryRequest(
          path,
          (message: MessageShape<typeof method.input>) => serialize(method.input, message),
          (bytes: Buffer) => fromBinary(method.output, bytes),
          create(method.input, input),
          metadata,
          callOptions,
          (error, message) => {
            signal?.removeEventListener("abort", onAbort);
            if (error !== null) return reject(toCallError(error, { path, signal }));
            if (message === undefined)
              return reject(new ConnectError(`Cannot call ${path}: the answer is empty`, Code.Internal));
            const { parent: service } = method;
            resolve({ stream: false, service, method, header: responseHeader, trailer, message });
          },
        );
        const onAbort = () => call.cancel();
        signal?.addEventListener("abort", onAbort, { once: true });
        call.on("metadata", (received: Metadata) => toHeaders(received, responseHeader));
        call.on("status", (status: { metadata: Metadata }) => toHeaders(status.metadata, trailer));
      });
    },

    async stream(method, signal, timeoutMs, header, input) {
      const path = `/${method.parent.typeName}/${method.name}`;
      if (method.methodKind !== "server_streaming") {
        throw new ConnectError(
          `Cannot call ${path}: the mesh's client has no ${method.methodKind} calls`,
          Code.Unimplemented,
        );
      }
      const request = await readOnly(method.input, input, path);
      if (signal?.aborted) throw toAbortError(path, signal);
      const { metadata, callOptions } = begin(header, timeoutMs);
      const responseHeader = new Headers();
      const trailer = new Headers();
      const call = client.makeServerStreamRequest(
        path,
        (message: MessageShape<typeof method.input>) => serialize(method.input, message),
        (bytes: Buffer) => fromBinary(method.output, bytes),
        request,
        metadata,
        callOptions,
      );
      call.on("metadata", (received: Metadata) => toHeaders(received, responseHeader));
      call.on("status", (status: { metadata: Metadata }) => toHeaders(status.metadata, trailer));
      // A stream that nobody reads any more may still fail: without a listener that would end the process.
      call.on("error", () => undefined);
      const message = readMessages<MessageShape<typeof method.output>>(call, path, signal);
      const { parent: service } = method;
      const response: StreamResponse<typeof method.input, typeof method.output> = {
        stream: true,
        service,
        method,
        header: responseHeader,
        trailer,
        message,
      };
      return response;
    },

    close: () => client.close(),
  };
}

/** Yields a call's messages with its own flow control. The signal cancels the call, as does leaving the loop. */
async function* readMessages<T>(
  call: ClientReadableStream<T>,
  path: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<T> {
  const onAbort = () => call.cancel();
  signal?.addEventListener("abort", onAbort, { once: true });
  if (signal?.aborted) call.cancel();
  try {
    for await (const message of call) yield message as T;
  } catch (error) {
    throw toCallError(error, { path, signal });
  } finally {
    signal?.removeEventListener("abort", onAbort);
    call.cancel();
  }
}

/** The single request of a server stream; Connect hands it as an iterable. */
async function readOnly<I extends DescMessage>(
  schema: I,
  input: AsyncIterable<MessageInitShape<I>>,
  path: string,
): Promise<MessageShape<I>> {
  for await (const message of input) return create(schema, message);
  throw new ConnectError(`Cannot call ${path}: there is no request`, Code.InvalidArgument);
}

function serialize<I extends DescMessage>(schema: I, message: MessageShape<I>): Buffer {
  const bytes = toBinary(schema, message);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function toAbortError(path: string, signal: AbortSignal): ConnectError {
  return new ConnectError(`Cannot call ${path}: it was cancelled`, Code.Canceled, undefined, undefined, signal.reason);
}

function findTarget(addresses: readonly Address[]): string {
  const [only] = addresses;
  return addresses.length === 1 && only !== undefined ? `dns:${formatAddress(only)}` : toTarget(addresses);
}
