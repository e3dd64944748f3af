import { type DescMessage, fromBinary, type MessageShape } from "@bufbuild/protobuf";
import { WeirError } from "../errors/weir-error.ts";
import { MOST_VALUES, requireFewFields } from "../validation/few-values.ts";
import { createRequestCheck } from "./check-request.ts";
import { EnvelopeReader } from "./envelope.ts";
import type { HotCall } from "./hot-rpc.ts";

/** How long the request of a hot call may take to arrive, milliseconds. */
const ARRIVAL_MS = 10_000;

/** What is read of a hot call. */
export interface HotRequestOptions<Desc extends DescMessage> {
  /** The input of the call's method. */
  readonly schema: Desc;
  /** Largest message, bytes. */
  readonly limitBytes: number;
}

/**
 * Creates what reads the one request of a server-streaming hot call. What is wrong with it, or comes later than 10 s after the headers, is
 * the answer. `onRequest` gets it once it is whole, its caller may make it and it keeps the rules of its proto; what it throws is the answer.
 */
export function createHotRequestReader<Desc extends DescMessage>(
  options: HotRequestOptions<Desc>,
): (call: HotCall, onRequest: (request: MessageShape<Desc>) => void) => void {
  const { schema, limitBytes } = options;
  const check = createRequestCheck(schema);
  return (call, onRequest) => {
    const reader = new EnvelopeReader(limitBytes, "server-streaming", (bytes) => ({
      request: parse(schema, bytes),
      bytes,
    }));
    const timer = setTimeout(() => {
      call.fail(new WeirError("BODY_TOO_SLOW", "Cannot read request: it comes too slowly"));
    }, ARRIVAL_MS).unref();
    call.onClosed(() => clearTimeout(timer));
    const guard = (act: () => void): void => {
      if (call.isOver) return;
      try {
        act();
      } catch (error) {
        call.fail(error);
      }
    };
    call.body.on("data", (chunk: Buffer) => guard(() => reader.push(chunk)));
    call.body.once("end", () => {
      clearTimeout(timer);
      guard(() => {
        const { request, bytes } = reader.end();
        call.checkRequest(request);
        check(request, bytes);
        onRequest(request);
      });
    });
  };
}

function parse<Desc extends DescMessage>(schema: Desc, bytes: Buffer): MessageShape<Desc> {
  requireFewFields(schema, bytes, MOST_VALUES);
  try {
    return fromBinary(schema, bytes);
  } catch {
    throw new WeirError("BODY_MALFORMED", "Cannot read request: the bytes are not a message of the method's type");
  }
}
