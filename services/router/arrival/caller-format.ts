import type { JsonObject } from "@bufbuild/protobuf";
import type { Usage } from "../../../gen/weir/router/v1/chat_pb.ts";
import type { StreamResponse } from "../../../gen/weir/router/v1/chat_service_pb.ts";
import type { Format, HeaderList, TypedAnswer } from "../providers/dialect.ts";
import type { AnswerFailure, AnswerHead } from "./call.ts";

/**
 * How callers of a wire format over HTTP are answered. One a format: what a target of the same format says goes on as it came, and
 * what another one says is written anew from typed messages. Reading requests is the surface's affair (`scan.ts` and
 * `read-input.ts` beside it).
 */
export interface CallerFormat {
  readonly format: Format;
  /** An answer in one piece. */
  composeAnswer(answer: TypedAnswer, usage: Usage, facts: AnswerFacts): Buffer;
  /** Writes a streamed answer, one instance a stream. */
  createStreamWriter(facts: AnswerFacts): StreamWriter;
  /** An error in place of an answer. `headers` are those that only the error has. */
  composeError(failure: AnswerFailure, head: AnswerHead): ComposedError;
  /** An error as the last event of a stream: one that clients raise. */
  composeStreamError(failure: AnswerFailure, head: AnswerHead): Buffer;
  /** What is sent when a stream is silent for long, so that nobody between takes it for dead. Clients ignore it. */
  readonly keepAlive: Buffer;
  /** Headers of every answer that only this format has, such as Anthropic's `request-id`: name and value by turns. */
  listHeaders(head: AnswerHead): string[];
  /**
   * The caller's headers that go on to a provider to whom its bytes are relayed. Never credentials, cookies, what chooses an
   * account, an address or a hop (see `providers/header-list.ts`).
   */
  readonly requestHeaders: HeaderList;
}

/** What an answer says of its call. */
export interface AnswerFacts {
  readonly eventId: string;
  /** Id of the model as the caller wrote it. */
  readonly model: string;
  /** Seconds since 1970. */
  readonly createdAtS: number;
  /** Whether the caller asked for the usage within the stream, or its format always has it. */
  readonly wantsUsage: boolean;
  /** Tokens of the request as far as they are known when the answer begins: said by the provider, else counted. */
  readonly inputTokens: number;
}

/** Writes the events of one stream. */
export interface StreamWriter {
  /** The events that these pieces make; empty when they make none yet. The first call writes what comes before all content. */
  write(pieces: readonly StreamResponse["piece"][]): Buffer;
  /** The events that end a whole answer, usage among them where it was asked for. */
  end(usage: Usage, extras: JsonObject | undefined): Buffer;
}

/** An error ready to be sent. */
export interface ComposedError {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}
