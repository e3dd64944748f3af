import { toBinary } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  type ChatService,
  CompleteRequestSchema,
  StreamRequestSchema,
} from "../../gen/weir/router/v1/chat_service_pb.ts";
import { type ConnectServiceOptions, receiveCall } from "./rpc/connect-arrival.ts";
import { ConnectStreamSink, ConnectUnarySink } from "./rpc/connect-sink.ts";
import { toCompleteResponse } from "./rpc/typed-answer.ts";
import { toTypedCall } from "./rpc/typed-call.ts";

/**
 * Serves ChatService by the RPC library: Connect, gRPC-Web, JSON, compressed messages. gRPC in its usual form does not come here:
 * `rpc/grpc-surface.ts` takes it, on the same spine.
 */
export function createChatService(options: ConnectServiceOptions): ServiceImpl<typeof ChatService> {
  const { chats } = options;
  return {
    async complete(request, context) {
      const arrival = receiveCall(options, context, toBinary(CompleteRequestSchema, request).length);
      const call = toTypedCall({ ...arrival, input: request.input, streamed: false });
      const sink = new ConnectUnarySink(context, toCompleteResponse);
      chats.start(call, sink);
      return await sink.response;
    },
    async *stream(request, context) {
      const sink = new ConnectStreamSink(context);
      const arrival = receiveCall(options, context, toBinary(StreamRequestSchema, request).length);
      chats.start(toTypedCall({ ...arrival, input: request.input, streamed: true }), sink);
      try {
        yield* sink.pieces();
      } finally {
        sink.leave();
      }
    },
  };
}
