import type { SnapshotTarget } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { WeirError } from "../../shared/errors/weir-error.ts";
import type { ChatCall } from "../arrival/call.ts";
import type { BodyAllocator, RelayedRequest, TypedAsk, TypedInput } from "../providers/dialect.ts";
import type { Upstream } from "../routing/upstreams.ts";
import type { RelayWay, TypedWay } from "../routing/way.ts";

/** A request as it goes to a target. */
export interface ComposedRequest {
  readonly way: RelayWay | TypedWay;
  readonly body: Buffer;
  /** What is left out for the target: what its dialect can't say, where the policy lets that be, and other makers' reasoning. Absent for nothing. */
  readonly dropped?: readonly string[];
}

/** An answer of the router's own, for a target that can't be asked. */
export interface OwnAnswer {
  /** The request's tokens are what it tells. */
  readonly answer: (inputTokens: number) => Buffer;
  /** The request. */
  readonly body: Buffer;
}

/** Most names of dropped fields that are kept. */
const MOST_DROPPED = 32;

/**
 * Composes a call's request for target after target: its bytes where the target reads the format in which it came, else typed
 * messages, which are made once.
 */
export class RequestComposer {
  readonly #call: ChatCall;
  readonly #allocator: BodyAllocator;
  #input: TypedInput | undefined;
  /** The request as it is relayed, once it was, and what was left out of it. */
  #relayed: RelayedRequest | undefined;
  #leftOut: readonly string[] | undefined;
  #isUsed = false;

  constructor(call: ChatCall, allocator: BodyAllocator) {
    this.#call = call;
    this.#allocator = allocator;
  }

  /** Throws ARGUMENT_INVALID for what the target can't be asked, and INTERNAL for a mistake of ours. */
  compose(target: SnapshotTarget, upstream: Upstream): ComposedRequest | OwnAnswer {
    const { request } = this.#call;
    try {
      const way = request.format === undefined ? undefined : upstream.ways.relayed.get(request.format);
      if (way === undefined || request.format === undefined) {
        if (request.format === undefined || request.estimate === undefined) return this.#composeTyped(target, upstream);
        return { answer: (inputTokens) => request.estimate!(inputTokens), body: request.bytes };
      }
      return this.#composeRelayed(request, target.model, way);
    } catch (cause) {
      if (cause instanceof WeirError) throw cause;
      throw new WeirError("INTERNAL", "Cannot answer: the request can't be written for the provider", { cause });
    }
  }

  #composeRelayed(request: RelayedRequest, model: string, way: RelayWay): ComposedRequest {
    const sent = this.#relayed ?? this.#leaveOutForeign(request);
    const leftOut = this.#leftOut;
    // What is composed may stand in the bytes themselves, from which the earlier target's connection may still be sending.
    if (this.#isUsed) sent.bytes = Buffer.from(sent.bytes);
    this.#isUsed = true;
    const body = way.format.composeRelayed(sent, model, this.#allocator);
    return leftOut === undefined ? { way, body } : { way, body, dropped: leftOut };
  }

  #leaveOutForeign(request: RelayedRequest): RelayedRequest {
    const found = request.withoutForeign?.();
    this.#leftOut = found?.leftOut.slice(0, MOST_DROPPED);
    this.#relayed = found?.request ?? request;
    return this.#relayed;
  }

  /** Lets go of the request: nobody will be asked any more. */
  release(): void {
    this.#relayed = undefined;
    const { request } = this.#call;
    if (request.format !== undefined) request.bytes = NO_BYTES;
    this.#input = undefined;
  }

  #composeTyped({ model, maxOutputTokens }: SnapshotTarget, upstream: Upstream): ComposedRequest {
    const { request, streamed } = this.#call;
    const input = request.format === undefined ? request.input : (this.#input ?? request.toInput());
    this.#input = input;
    let dropped: string[] | undefined;
    const leaveOut = (field: string): void => {
      dropped ??= [];
      if (dropped.length < MOST_DROPPED) dropped.push(field);
    };
    const lose = (field: string, state: string): void => {
      if (!upstream.dropsInexpressible) throw refuse(request.format === undefined ? `input.${field}` : field, state);
      leaveOut(field);
    };
    const from = request.format;
    const asked = { model, streamed, maxOutputTokens, lose, leaveOut, ...(from !== undefined && { from }) };
    const composed = composeInput(input, asked, upstream);
    return dropped === undefined ? composed : { ...composed, dropped };
  }
}

function composeInput(input: TypedInput, asked: TypedAsk, { ways }: Upstream): ComposedRequest {
  if (input.$typeName === "weir.router.v1.ChatInput") {
    return { way: ways.typed, body: ways.typed.format.composeTyped(input, asked) };
  }
  if (ways.embeddings === undefined) {
    throw refuse(asked.from === undefined ? "input.model" : "model", "has a target whose dialect knows no embeddings");
  }
  return { way: ways.embeddings, body: ways.embeddings.format.composeTyped(input, asked) };
}

const NO_BYTES = Buffer.alloc(0);

function refuse(field: string, state: string): WeirError {
  return new WeirError("ARGUMENT_INVALID", `Cannot write request: "${field}" ${state}`, {
    facts: { field },
    violations: [{ field, description: state }],
  });
}
