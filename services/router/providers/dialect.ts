import type { JsonObject } from "@bufbuild/protobuf";
import type { Dialect as DialectId, Server } from "../../../gen/weir/policy/v1/policy_pb.ts";
import type { Candidate as ChatCandidate, ChatInput } from "../../../gen/weir/router/v1/chat_pb.ts";
import type { StreamResponse } from "../../../gen/weir/router/v1/chat_service_pb.ts";
import type { Embedding, EmbeddingInput } from "../../../gen/weir/router/v1/embedding_service_pb.ts";
import type { Meter } from "../../../gen/weir/type/v1/usage_pb.ts";
import type { Reason } from "../../shared/errors/reason.ts";
import type { CallersFault, TargetFault } from "./fault.ts";
import type { KeptText } from "./kept-text.ts";

/**
 * A wire format, by name: what a caller wrote, or what a provider reads. A request goes on as the bytes that came when the target
 * reads the format in which it was written; otherwise through the typed messages.
 */
export type Format =
  | "chat-completions"
  | "responses"
  | "embeddings"
  | "messages"
  | "count-tokens"
  | "generate-content"
  | "embed-contents"
  | "converse";

/** The language of a provider: how to ask it and how to understand it. One folder and one line in `registry.ts` each. */
export interface Dialect {
  readonly id: DialectId;
  /**
   * The headers that present a credential, name and value by turns, when they are the same for each request. Throws SETTING_INVALID for
   * a secret that can't be one of its.
   */
  composeCredential(secret: string): string[];
  /** Headers of every call beside those, name and value by turns: a caller's own of the same name stand in their place. */
  readonly headers?: readonly string[];
  /**
   * Signs a request whose credential depends on its bytes (AWS Signature Version 4): returns all headers that it must have beside
   * those of {@link composeCredential}. Absent where the credential is the same for each request.
   */
  readonly sign?: (request: UnsignedRequest, secret: string) => string[];
  /** The format into which typed chats are written for it. */
  readonly typed: TypedFormat;
  /** The formats whose bytes it takes as callers wrote them. Its typed format is among them when callers write that, too. */
  readonly relayed: readonly RelayedFormat[];
  /** The format into which typed requests for embeddings are written for it. Absent where it has none. */
  readonly embeddings?: EmbeddingFormat;
  /** The same for servers that speak it otherwise than its maker. Absent where all are alike. */
  readonly servers?: ReadonlyMap<Server, Dialect>;
  /** Which of a provider's headers go on to callers of the format that was relayed. Absent for none. */
  readonly answerHeaders?: HeaderList;
  /** Which of a provider's headers tell its rate limits: they go on to every caller with `x-weir-provider-` before their name. */
  readonly limitHeaders?: HeaderList;
}

/** Headers, by names in lower case and by how their names begin. */
export interface HeaderList {
  readonly names: readonly string[];
  readonly prefixes: readonly string[];
}

/** What a dialect knows of its provider beside address and credential: settings of the policy, empty where it says nothing. */
export interface DialectSettings {
  /** Version of its API, such as Azure's `api-version`. */
  readonly apiVersion: string;
  /** Region of the cloud that serves it, such as "eu-central-1" for signatures. */
  readonly cloudRegion: string;
}

/** A request before it is signed. */
export interface UnsignedRequest {
  readonly origin: string;
  /** With its query. */
  readonly path: string;
  readonly body: Buffer;
  readonly settings: DialectSettings;
  /** Milliseconds since 1970: signatures carry the time. */
  readonly nowMs: number;
}

/** How a format is asked for, and how its answers are understood. */
export interface AnswerFormat {
  readonly format: Format;
  /** Content type of its streams. */
  readonly streamType: "text/event-stream" | "application/vnd.amazon.eventstream";
  /** Path below a provider's base URL, with its query. `model` comes from the policy, and is encoded here. */
  toPath(asked: { readonly model: string; readonly streamed: boolean; readonly settings: DialectSettings }): string;
  /** Understands an answer that came with status 200 in one piece. */
  readAnswer(body: Buffer): AnswerReading;
  /** Understands an answer that is no 200. */
  readRefusal(refusal: RefusedAnswer): ProviderFailure;
  /** Understands a streamed answer, one instance a stream. */
  createStreamReader(options: StreamReaderOptions): StreamReader;
}

/** A format that callers write and providers read. */
export interface RelayedFormat extends AnswerFormat {
  /**
   * The body for a target, from a request of this same format: its bytes with only what must change spliced in, either in
   * place, if that can be done so that another model can be put there later, or as a copy: for an answer in one piece in memory
   * of `allocator`, for a stream, which holds on to it for long, in memory of its own.
   */
  composeRelayed(request: RelayedRequest, model: string, allocator: BodyAllocator): Buffer;
}

/** A format from whose answers typed messages are made. */
export interface TypedAnswerFormat extends AnswerFormat {
  /** Makes typed messages of an answer that `readAnswer` accepted. */
  toTypedAnswer(body: Buffer): TypedAnswer;
  /** Makes typed pieces of the bytes that a stream reader let through. */
  createPieceReader(): PieceReader;
}

/** A format into which typed chats are written. */
export interface TypedFormat extends TypedAnswerFormat {
  /** The body for a target, from a typed request. What it cannot say it hands to `asked.lose`. */
  composeTyped(input: ChatInput, asked: TypedAsk): Buffer;
}

/** A format into which typed requests for embeddings are written. Its answers come in one piece, and have `embeddings`. */
export interface EmbeddingFormat extends TypedAnswerFormat {
  /**
   * The body for a target, from a typed request. What it cannot say it hands to `asked.lose`, but for an item, without which the
   * answer's vectors would not be those of the request's items: it throws ARGUMENT_INVALID.
   */
  composeTyped(input: EmbeddingInput, asked: TypedAsk): Buffer;
}

/** What a caller asks, in typed messages. */
export type TypedInput = ChatInput | EmbeddingInput;

/** How a typed request is asked. */
export interface TypedAsk {
  /** The provider's name of the model. */
  readonly model: string;
  readonly streamed: boolean;
  /** The most tokens that the target answers: for a format that must name a cap when the caller named none. */
  readonly maxOutputTokens: bigint;
  /**
   * In which format the caller wrote; absent for one who wrote typed messages for this very dialect. Extras of the dialect's own
   * format and of typed messages are meant for it; those of another format are `lose`d, but for what both know by one name.
   */
  readonly from?: Format;
  /**
   * Called with each thing that the format cannot say: its path in ChatInput, such as `sampling.top_k`, and why, such as "can't be
   * said in the Gemini dialect". Throws ARGUMENT_INVALID unless the policy lets it be dropped; when it returns, it is left out.
   */
  readonly lose: (field: string, state: string) => void;
  /**
   * Called with the path of reasoning of an earlier turn that nobody signed for this target: it is left out whatever the policy says, so that a
   * conversation can go on at a target of another maker, and the caller is told.
   */
  readonly leaveOut: (field: string) => void;
}

/** A request that a caller wrote: the bytes as they came, and where that stands which must change for a target. */
export interface RelayedRequest {
  readonly format: Format;
  /** The whole body; emptied once nobody can need it again, so that a long stream does not keep its question in memory. */
  bytes: Buffer;
  /** Range of the value of `model`. */
  readonly modelStart: number;
  readonly modelEnd: number;
  readonly streamed: boolean;
  /** Range of the value of `stream_options`; -1 when it is absent. */
  readonly streamOptionsStart: number;
  readonly streamOptionsEnd: number;
  /** Whether the caller itself asked for the usage in the stream, or its format always has it. */
  readonly wantsUsage: boolean;
  /**
   * Whether it names what only one account holds, such as an earlier answer. Then only the first of the plan's providers that reads
   * its format is asked, and no other one after it. Default false.
   */
  readonly isBound?: boolean;
  /**
   * The same in typed messages, for a target that reads another format. Throws ARGUMENT_INVALID for what has no typed form; what
   * only the format knows stands in extras. Called while `bytes` are there.
   */
  readonly toInput: () => TypedInput;
  /**
   * The same request without reasoning of earlier turns that Weir wrote for another maker's model, and which a provider of its own format
   * would refuse; undefined when there is none. Absent where the format has no reasoning.
   */
  readonly withoutForeign?: () => { readonly request: RelayedRequest; readonly leftOut: readonly string[] } | undefined;
  /**
   * The answer of the router itself, for a target that can't be asked this in its format: an estimate that uses nothing, from the request's tokens
   * as Weir counts them. Absent for what can be asked in typed messages.
   */
  readonly estimate?: (inputTokens: number) => Buffer;
}

/** Where bodies get their memory. */
export interface BodyAllocator {
  /** Memory with anything in it. */
  allocate(sizeBytes: number): Buffer;
}

/** Tokens by meter, disjoint, whole numbers from 0. */
export type Quantities = ReadonlyMap<Meter, number>;

/** Why a provider's answer is none. */
export interface ProviderFailure {
  readonly reason: Reason;
  /** What happened, for people: the part after `Cannot answer: `. Never quotes what a provider says to the operator. */
  readonly state: string;
  /** Whether another target may do better. */
  readonly elsewhere: boolean;
  readonly retryAfterMs?: number;
  /** What it says of the target; absent where that follows from the reason, see `findFault`. */
  readonly fault?: TargetFault | CallersFault;
  /** What the provider said to the caller, when it is the caller who must act. */
  readonly said?: {
    readonly message: string;
    readonly type: string;
    readonly code: string;
    readonly param: string;
    /** The body as the provider wrote it, as much as was read, for callers of the same format. */
    readonly body?: Buffer;
  };
}

/** A whole answer as understood. */
export interface AnswerReading {
  /** Absent when it is an answer. */
  readonly failure?: ProviderFailure;
  /** Absent when the provider did not say, or nothing that makes sense. */
  readonly quantities?: Quantities;
  /** Bytes of text in the answer. */
  readonly textBytes: number;
}

/** An answer that is no 200. */
export interface RefusedAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** As much of its body as was read. */
  readonly body: Buffer;
  /** Milliseconds since 1970, for `retry-after` as a date. */
  readonly nowMs: number;
}

/** How a stream is to be read. */
export interface StreamReaderOptions {
  /** Whether the caller asked for the usage, and so gets to see it. */
  readonly wantsUsage: boolean;
  /** How many candidates were asked for, from 1. */
  readonly candidates: number;
  /** Keeps the text of the answer, so that it can be counted. Absent when nobody will. */
  readonly text?: KeptText;
}

/** Reads a streamed answer while it is relayed. What comes before the first content is held back. */
export interface StreamReader {
  /** Takes what came (and may change it in place); returns what may go on to the caller now, if anything. */
  read(chunk: Buffer): Buffer | undefined;
  /** Takes the end; returns what is left to go on, if anything. */
  end(): Buffer | undefined;
  /** Whether content was seen: from here on the answer belongs to the caller. */
  readonly hasContent: boolean;
  /** Whether the answer is whole, by what its dialect says of that. Good once the stream has ended. */
  readonly isComplete: boolean;
  /** Set when the stream broke its own rules or carried an error; nothing after it counts. */
  readonly failure: ProviderFailure | undefined;
  /** Events with data so far. */
  readonly events: number;
  /** What the provider said it used; undefined when it did not, or nothing that makes sense. */
  readonly quantities: Quantities | undefined;
  /** Bytes of text so far. */
  readonly textBytes: number;
}

/** A whole answer in typed messages. */
export interface TypedAnswer {
  readonly providerModel: string;
  /** None in an answer with embeddings. */
  readonly candidates: ChatCandidate[];
  /** Of an answer with embeddings, by index. */
  readonly embeddings?: Embedding[];
  readonly extras?: JsonObject;
}

/** Makes typed pieces of a stream. */
export interface PieceReader {
  /** The pieces that the bytes complete: block_started, block_delta, block_stopped, candidate_stopped. */
  read(bytes: Buffer): StreamResponse["piece"][];
  /** The pieces that were owed at the end. */
  end(): StreamResponse["piece"][];
  /** Name of the model, as the provider gave it; empty until the first event. */
  readonly providerModel: string;
  readonly extras: JsonObject | undefined;
}
