import type { EmbeddingInput } from "../../../../gen/weir/router/v1/embedding_service_pb.ts";
import type { Format, RelayedRequest } from "../../providers/dialect.ts";
import { readInput } from "./read-input.ts";

/** A request for embeddings as it is relayed. */
export class EmbeddingsRequest implements RelayedRequest {
  readonly format: Format = "embeddings";
  readonly streamed = false;
  readonly streamOptionsStart = -1;
  readonly streamOptionsEnd = -1;
  readonly wantsUsage = true;
  bytes: Buffer;
  readonly modelStart: number;
  readonly modelEnd: number;

  constructor(bytes: Buffer, modelStart: number, modelEnd: number) {
    this.bytes = bytes;
    this.modelStart = modelStart;
    this.modelEnd = modelEnd;
  }

  toInput(): EmbeddingInput {
    return readInput(this.bytes);
  }
}
