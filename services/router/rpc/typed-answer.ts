import { create, type JsonObject } from "@bufbuild/protobuf";
import type { Usage } from "../../../gen/weir/router/v1/chat_pb.ts";
import {
  type CompleteResponse,
  CompleteResponseSchema,
  type StreamResponse,
  StreamResponseSchema,
} from "../../../gen/weir/router/v1/chat_service_pb.ts";
import { type EmbedResponse, EmbedResponseSchema } from "../../../gen/weir/router/v1/embedding_service_pb.ts";
import { WeirError } from "../../shared/errors/weir-error.ts";
import type { AnswerHead } from "../arrival/call.ts";
import type { PieceReader, TypedAnswerFormat } from "../providers/dialect.ts";
import { toDoubles } from "../providers/exact-json.ts";

/** Makes the typed form of an answer in one piece, from its bytes in the format of its head. Throws INTERNAL when it has none. */
export function toCompleteResponse(head: AnswerHead | undefined, body: Buffer, usage: Usage): CompleteResponse {
  try {
    const { providerModel, candidates, extras } = getFormat(head).toTypedAnswer(body);
    for (const candidate of candidates) {
      fitExtras(candidate);
      candidate.blocks.forEach(fitExtras);
    }
    return create(CompleteResponseSchema, {
      id: head?.eventId ?? "",
      target: head?.target ?? "",
      providerModel,
      candidates,
      usage,
      ...(extras !== undefined && { extras: toDoubles(extras) }),
    });
  } catch (cause) {
    throw new WeirError("INTERNAL", "Cannot answer: the provider's answer has no typed form", { cause });
  }
}

/** The same of embeddings. */
export function toEmbedResponse(head: AnswerHead | undefined, body: Buffer, usage: Usage): EmbedResponse {
  try {
    const { providerModel, embeddings = [], extras } = getFormat(head).toTypedAnswer(body);
    return create(EmbedResponseSchema, {
      id: head?.eventId ?? "",
      target: head?.target ?? "",
      providerModel,
      embeddings,
      usage,
      ...(extras !== undefined && { extras: toDoubles(extras) }),
    });
  } catch (cause) {
    throw new WeirError("INTERNAL", "Cannot answer: the provider's answer has no typed form", { cause });
  }
}

/** Makes the typed pieces of a streamed answer, from `started` to `ended`. */
export class TypedStream {
  readonly #head: AnswerHead;
  readonly #reader: PieceReader;
  #hasStarted = false;

  constructor(head: AnswerHead) {
    this.#head = head;
    this.#reader = getFormat(head).createPieceReader();
  }

  /** The pieces that these bytes complete. */
  read(bytes: Buffer): StreamResponse[] {
    const pieces = this.#reader.read(bytes).map(toResponse);
    if (this.#hasStarted) return pieces;
    this.#hasStarted = true;
    const { eventId: id, target = "" } = this.#head;
    const value = { id, target, providerModel: this.#reader.providerModel };
    return [create(StreamResponseSchema, { piece: { case: "started", value } }), ...pieces];
  }

  /** The pieces that are owed at the end, and the end. */
  end(usage: Usage): StreamResponse[] {
    const { extras } = this.#reader;
    const value = { usage, ...(extras !== undefined && { extras: toDoubles(extras) }) };
    return [...this.#reader.end().map(toResponse), create(StreamResponseSchema, { piece: { case: "ended", value } })];
  }
}

function toResponse(piece: StreamResponse["piece"]): StreamResponse {
  if (piece.case === "blockStarted" && piece.value.block !== undefined) fitExtras(piece.value.block);
  return create(StreamResponseSchema, { piece });
}

/** Extras are a Struct here, whose numbers are doubles; the input of a tool is a text, and keeps all digits. */
function fitExtras(message: { extras?: JsonObject }): void {
  if (message.extras !== undefined) message.extras = toDoubles(message.extras);
}

function getFormat(head: AnswerHead | undefined): TypedAnswerFormat {
  if (head?.way?.kind === "typed") return head.way.format;
  throw new WeirError("INTERNAL", "Cannot answer: the format of the answer is unknown");
}
