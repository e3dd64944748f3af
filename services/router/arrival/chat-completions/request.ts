import type { ChatInput } from "../../../../gen/weir/router/v1/chat_pb.ts";
import type { Format, RelayedRequest } from "../../providers/dialect.ts";
import { leaveOutForeign } from "../leave-out-foreign.ts";
import { readInput } from "./read-input.ts";
import { takeOutForeign } from "./take-out-foreign.ts";

/** A chat completions request as it is relayed. A class, so that none of its requests has a function of its own. */
export class ChatCompletionsRequest implements RelayedRequest {
  readonly format: Format = "chat-completions";
  bytes: Buffer;
  readonly modelStart: number;
  readonly modelEnd: number;
  readonly streamed: boolean;
  readonly streamOptionsStart: number;
  readonly streamOptionsEnd: number;
  readonly wantsUsage: boolean;

  constructor(found: Omit<RelayedRequest, "format" | "toInput">) {
    this.bytes = found.bytes;
    this.modelStart = found.modelStart;
    this.modelEnd = found.modelEnd;
    this.streamed = found.streamed;
    this.streamOptionsStart = found.streamOptionsStart;
    this.streamOptionsEnd = found.streamOptionsEnd;
    this.wantsUsage = found.wantsUsage;
  }

  toInput(): ChatInput {
    return readInput(this.bytes);
  }

  withoutForeign(): { readonly request: RelayedRequest; readonly leftOut: readonly string[] } | undefined {
    const found = leaveOutForeign(this.bytes, takeOutForeign);
    return found && { request: new ChatCompletionsRequest({ ...this, ...found }), leftOut: found.leftOut };
  }
}
