import { toBinary } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  type ChatService,
  CompleteRequestSchema,
  type CompleteResponse,
  StreamRequestSchema,
} from "../../gen/weir/router/v1/chat_service_pb.ts";
import type { Clock } from "../shared/clock.ts";
import { WeirError } from "../shared/errors/weir-error.ts";
import { createEventId } from "../shared/ids.ts";
import type { ChatCall } from "./arrival/call.ts";
import { pickCallerHeaders } from "./arrival/http-headers.ts";
import type { Chats } from "./chat.ts";
import { ConnectStreamSink, ConnectUnarySink } from "./rpc/connect-sink.ts";
import { type TypedArrival, toTypedCall } from "./rpc/typed-call.ts";

/**
 * Serves ChatService by the RPC library: Connect, gRPC-Web, JSON, compressed messages. gRPC in its usual form does not come here:
 * `rpc/grpc-surface.ts` takes it, on the same spine.
 */
export function createChatService(options: {
  readonly chats: Pick<Chats, "start" | "greet">;
  readonly clock: Clock;
}): ServiceImpl<typeof ChatService> {
  const { chats, clock } = options;
  const toCall = (
    asked: Pick<TypedArrival, "input" | "requestBytes" | "streamed">,
    context: HandlerContext,
  ): ChatCall => {
    const headers = pickCallerHeaders({
      authorization: context.requestHeader.get("authorization") ?? undefined,
      "x-api-key": context.requestHeader.get("x-api-key") ?? undefined,
      "api-key": context.requestHeader.get("api-key") ?? undefined,
    });
    const arrivedAtMs = clock.nowMs();
    const eventId = createEventId(arrivedAtMs);
    context.responseHeader.set("x-request-id", eventId);
    const greeting = chats.greet(headers);
    if (greeting instanceof WeirError) throw greeting;
    const nowMonotonicMs = clock.monotonicMs();
    return toTypedCall({
      ...asked,
      eventId,
      arrivedAtMs,
      arrivedMonotonicMs: nowMonotonicMs,
      nowMonotonicMs,
      headers,
      greeting,
      timeoutMs: context.timeoutMs(),
    });
  };
  return {
    complete: (request, context) =>
      new Promise<CompleteResponse>((resolve, reject) => {
        const requestBytes = toBinary(CompleteRequestSchema, request).length;
        const call = toCall({ input: request.input, requestBytes, streamed: false }, context);
        chats.start(call, new ConnectUnarySink(context, resolve, reject));
      }),
    async *stream(request, context) {
      const sink = new ConnectStreamSink(context);
      const requestBytes = toBinary(StreamRequestSchema, request).length;
      chats.start(toCall({ input: request.input, requestBytes, streamed: true }, context), sink);
      try {
        yield* sink.pieces();
      } finally {
        sink.leave();
      }
    },
  };
}
