import { type DescMessage, type MessageShape, toBinary } from "@bufbuild/protobuf";
import type { Usage } from "../../../gen/weir/router/v1/chat_pb.ts";
import { CompleteResponseSchema, StreamResponseSchema } from "../../../gen/weir/router/v1/chat_service_pb.ts";
import { toEnvelopes } from "../../shared/mesh/envelope.ts";
import type { HotCall } from "../../shared/mesh/hot-rpc.ts";
import type { AnswerFailure, AnswerHead, AnswerSink, SinkListener } from "../arrival/call.ts";
import { findClientRequestId, toAnswerHeaders } from "../arrival/http-headers.ts";
import { TypedStream, toCompleteResponse } from "./typed-answer.ts";

/** What both kinds of answer share: metadata, and a caller who may leave. `onOver` comes once, when the answer is over. */
abstract class GrpcSink {
  protected readonly call: HotCall;
  protected head: AnswerHead | undefined;
  readonly #onOver: () => void;

  constructor(call: HotCall, onOver: () => void) {
    this.call = call;
    this.#onOver = onOver;
  }

  listen(listener: SinkListener): void {
    this.call.listen(listener);
  }

  begin(head: AnswerHead): void {
    this.head = head;
    this.#tell(head);
  }

  fail(head: AnswerHead, { error }: AnswerFailure): void {
    // Of no effect once something was sent.
    this.#tell(head);
    this.finish(() => this.call.fail(error));
  }

  protected finish(end: () => void): void {
    try {
      end();
    } catch (error) {
      this.call.fail(error);
    } finally {
      this.#onOver();
    }
  }

  #tell(head: AnswerHead): void {
    this.call.tell(toAnswerHeaders(head, findClientRequestId(this.call.headers)));
  }
}

/** Sends an answer in one piece. */
export class GrpcUnarySink extends GrpcSink implements AnswerSink {
  #whole: Buffer = Buffer.alloc(0);

  write(bytes: Buffer): boolean {
    this.#whole = bytes;
    return true;
  }

  end(getUsage: () => Usage): void {
    this.finish(() => {
      const response = toCompleteResponse(this.head, this.#whole, getUsage());
      this.call.end(encode(CompleteResponseSchema, [response]));
    });
  }
}

/** Sends an answer piece by piece: what one read of the provider completes goes out in one write. */
export class GrpcStreamSink extends GrpcSink implements AnswerSink {
  #typed: TypedStream | undefined;

  override begin(head: AnswerHead): void {
    super.begin(head);
    this.#typed = new TypedStream(head);
  }

  write(bytes: Buffer): boolean {
    const pieces = this.#typed?.read(bytes) ?? [];
    return pieces.length === 0 || this.call.send(encode(StreamResponseSchema, pieces));
  }

  end(getUsage: () => Usage): void {
    this.finish(() => this.call.end(encode(StreamResponseSchema, this.#typed?.end(getUsage()) ?? [])));
  }
}

function encode<Desc extends DescMessage>(schema: Desc, messages: readonly MessageShape<Desc>[]): Buffer {
  return toEnvelopes(messages.map((message) => toBinary(schema, message)));
}
