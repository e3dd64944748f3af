import type { ChatInput } from "../../../../gen/weir/router/v1/chat_pb.ts";
import type { Format, RelayedRequest } from "../../providers/dialect.ts";
import { readInput } from "./read-input.ts";

/** What was found of a request. */
export interface FoundRequest {
  readonly format: Format;
  readonly bytes: Buffer;
  readonly modelStart: number;
  readonly modelEnd: number;
  readonly streamed: boolean;
}

/** A request for messages, or for a count of its tokens, as it is relayed. A class, so that none has a function of its own. */
export class MessagesRequest implements RelayedRequest {
  readonly format: Format;
  bytes: Buffer;
  readonly modelStart: number;
  readonly modelEnd: number;
  readonly streamed: boolean;
  readonly streamOptionsStart = -1;
  readonly streamOptionsEnd = -1;
  /** Streams of this format always have it. */
  readonly wantsUsage = true;

  constructor({ format, bytes, modelStart, modelEnd, streamed }: FoundRequest) {
    this.format = format;
    this.bytes = bytes;
    this.modelStart = modelStart;
    this.modelEnd = modelEnd;
    this.streamed = streamed;
  }

  toInput(): ChatInput {
    return readInput(this.bytes);
  }
}
