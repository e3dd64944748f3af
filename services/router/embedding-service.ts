import { toBinary } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { type EmbeddingService, EmbedRequestSchema } from "../../gen/weir/router/v1/embedding_service_pb.ts";
import { type ConnectServiceOptions, receiveCall } from "./rpc/connect-arrival.ts";
import { ConnectUnarySink } from "./rpc/connect-sink.ts";
import { toEmbedResponse } from "./rpc/typed-answer.ts";
import { toEmbeddingCall } from "./rpc/typed-call.ts";

/** Serves EmbeddingService by the RPC library: gRPC, gRPC-Web, Connect, JSON. */
export function createEmbeddingService(options: ConnectServiceOptions): ServiceImpl<typeof EmbeddingService> {
  return {
    async embed(request, context) {
      const arrival = receiveCall(options, context, toBinary(EmbedRequestSchema, request).length);
      const call = toEmbeddingCall({ ...arrival, input: request.input });
      const sink = new ConnectUnarySink(context, toEmbedResponse);
      options.chats.start(call, sink);
      return await sink.response;
    },
  };
}
