import { Meter } from "../../../gen/weir/type/v1/usage_pb.ts";
import { WeirError } from "../../shared/errors/weir-error.ts";
import type { EmbeddingFormat, Quantities, StreamReader, TypedAsk } from "./dialect.ts";
import { isTokenCount } from "./token-count.ts";

/** What formats of embeddings have of streams: none. Nobody can ask for them. */
export const NO_STREAMS: Pick<EmbeddingFormat, "streamType" | "createStreamReader" | "createPieceReader"> = {
  streamType: "text/event-stream",
  createStreamReader: (): StreamReader => {
    throw new Error("Cannot read stream: embeddings come in one piece");
  },
  createPieceReader: () => {
    throw new Error("Cannot read stream: embeddings come in one piece");
  },
};

/** Meters of an embedding: only what is read counts. Undefined when the number makes no sense; no input has no tokens. */
export function toInputQuantities(tokens: unknown): Quantities | undefined {
  if (!isTokenCount(tokens) || tokens === 0) return undefined;
  return new Map([[Meter.INPUT_TOKENS, tokens]]);
}

/** Refuses what can't be left out: see {@link EmbeddingFormat.composeTyped}. */
export function refuseItem({ from }: Pick<TypedAsk, "from">, path: string, state: string): WeirError {
  const field = from === undefined ? `input.${path}` : path;
  return new WeirError("ARGUMENT_INVALID", `Cannot write request: "${field}" ${state}`, {
    facts: { field },
    violations: [{ field, description: state }],
  });
}

/** The numbers of a vector that came from outside; undefined when it is none. */
export function readVector(value: unknown): number[] | undefined {
  if (!Array.isArray(value) || value.length === 0) return undefined;
  return value.every((number) => typeof number === "number" && Number.isFinite(number)) ? value : undefined;
}
