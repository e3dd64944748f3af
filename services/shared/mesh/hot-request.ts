import { type DescMessage, fromBinary, type MessageShape } from "@bufbuild/protobuf";
import { WeirError } from "../errors/weir-error.ts";
import { EnvelopeReader } from "./envelope.ts";
import type { HotCall } from "./hot-rpc.ts";
import { createMessageCheck } from "./validate.ts";

/** How long the request of a hot call may take to arrive, milliseconds. */
const ARRIVAL_MS = 10_000;
const checkMessage = createMessageCheck();

/** What is read of a hot call. */
export interface HotRequestOptions<Desc extends DescMessage> {
  /** The input of the call's method. */
  readonly schema: Desc;
  /** Largest message, bytes. */
  readonly limitBytes: number;
  /** Gets the request once it is whole, its caller may make it and it keeps the rules of its proto. What it throws is the answer. */
  readonly onRequest: (request: MessageShape<Desc>) => void;
}

/** Reads the one request of a server-streaming hot call. What is wrong with it, or comes later than 10 s after the headers, is the answer. */
export function readHotRequest<Desc extends DescMessage>(call: HotCall, options: HotRequestOptions<Desc>): void {
  const { schema, limitBytes, onRequest } = options;
  const reader = new EnvelopeReader(limitBytes, "server-streaming", (bytes) => parse(schema, bytes));
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
      const request = reader.end();
      call.checkRequest(request);
      checkMessage(schema, request);
      onRequest(request);
    });
  });
}

function parse<Desc extends DescMessage>(schema: Desc, bytes: Buffer): MessageShape<Desc> {
  try {
    return fromBinary(schema, bytes);
  } catch {
    throw new WeirError("BODY_MALFORMED", "Cannot read request: the bytes are not a message of the method's type");
  }
}
