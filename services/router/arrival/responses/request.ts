import type { ChatInput } from "../../../../gen/weir/router/v1/chat_pb.ts";
import type { Format, RelayedRequest } from "../../providers/dialect.ts";
import { leaveOutForeign } from "../leave-out-foreign.ts";
import { readInput } from "./read-input.ts";
import { takeOutForeign } from "./take-out-foreign.ts";

/** A request for a response as it is relayed. A class, so that none of its requests has a function of its own. */
export class ResponsesRequest implements RelayedRequest {
  readonly format: Format = "responses";
  bytes: Buffer;
  readonly modelStart: number;
  readonly modelEnd: number;
  readonly streamed: boolean;
  /** The format's own `stream_options` do not matter to Weir. */
  readonly streamOptionsStart = -1;
  readonly streamOptionsEnd = -1;
  /** The usage comes with the last event, always. */
  readonly wantsUsage = true;
  readonly isBound: boolean;

  constructor(
    found: Pick<RelayedRequest, "bytes" | "modelStart" | "modelEnd" | "streamed"> & { readonly isBound: boolean },
  ) {
    this.bytes = found.bytes;
    this.modelStart = found.modelStart;
    this.modelEnd = found.modelEnd;
    this.streamed = found.streamed;
    this.isBound = found.isBound;
  }

  toInput(): ChatInput {
    return readInput(this.bytes);
  }

  withoutForeign(): { readonly request: RelayedRequest; readonly leftOut: readonly string[] } | undefined {
    const found = leaveOutForeign(this.bytes, takeOutForeign);
    return found && { request: new ResponsesRequest({ ...this, ...found }), leftOut: found.leftOut };
  }
}
