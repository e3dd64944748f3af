import type { ChatInput } from "../../../../gen/weir/router/v1/chat_pb.ts";
import type { Format, RelayedRequest } from "../../providers/dialect.ts";
import { leaveOutForeign } from "../leave-out-foreign.ts";
import { readInput } from "./read-input.ts";
import { takeOutForeign } from "./take-out-foreign.ts";

/** What was found of a request. */
export interface FoundRequest {
  readonly bytes: Buffer;
  readonly modelStart: number;
  readonly modelEnd: number;
  readonly streamed: boolean;
}

/** A request for messages as it is relayed. A class, so that none has a function of its own. */
export class MessagesRequest implements RelayedRequest {
  readonly format: Format = "messages";
  bytes: Buffer;
  readonly modelStart: number;
  readonly modelEnd: number;
  readonly streamed: boolean;
  readonly streamOptionsStart = -1;
  readonly streamOptionsEnd = -1;
  /** Streams of this format always have it. */
  readonly wantsUsage = true;

  constructor({ bytes, modelStart, modelEnd, streamed }: FoundRequest) {
    this.bytes = bytes;
    this.modelStart = modelStart;
    this.modelEnd = modelEnd;
    this.streamed = streamed;
  }

  toInput(): ChatInput {
    return readInput(this.bytes);
  }

  withoutForeign(): { readonly request: RelayedRequest; readonly leftOut: readonly string[] } | undefined {
    const found = leaveOutForeign(this.bytes, takeOutForeign);
    return found && { request: this.renew({ ...this, ...found }), leftOut: found.leftOut };
  }

  /** A request of the same kind. */
  protected renew(found: FoundRequest): MessagesRequest {
    return new MessagesRequest(found);
  }
}

/**
 * A request to count tokens. A target that can't count answers chats only, so that what a chat would be counted when its provider does
 * not say is the answer, without asking it.
 */
export class CountTokensRequest extends MessagesRequest {
  override readonly format: Format = "count-tokens";

  protected override renew(found: FoundRequest): CountTokensRequest {
    return new CountTokensRequest(found);
  }

  estimate(inputTokens: number): Buffer {
    return Buffer.from(JSON.stringify({ input_tokens: inputTokens }));
  }
}
