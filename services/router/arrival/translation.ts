import type { Usage } from "../../../gen/weir/router/v1/chat_pb.ts";
import type { PieceReader, TypedAnswer, TypedAnswerFormat } from "../providers/dialect.ts";
import type { AnswerHead } from "./call.ts";
import type { AnswerFacts, CallerFormat, StreamWriter } from "./caller-format.ts";

/** What a caller asked, as far as its answer's form depends on it. */
export interface AskedAnswer {
  readonly streamed: boolean;
  /** Id of the model, as the caller wrote it. */
  readonly model: string;
  /** Whether it asked for the usage in the stream, or its format always has it. */
  readonly wantsUsage: boolean;
  /** Seconds since 1970. */
  readonly createdAtS: number;
}

/** An answer that is written in another format than it came in. */
export interface Translation {
  /** Takes an answer in one piece. */
  readWhole(bytes: Buffer): void;
  /** Takes a part of a stream; returns what it comes to, perhaps nothing. */
  read(bytes: Buffer): Buffer;
  /** Takes the end; returns what is left to be written: of an answer in one piece all of it. */
  end(usage: Usage): Buffer;
}

/** Begins to translate an answer from the format of its target into the caller's. */
export function createTranslation(
  to: CallerFormat,
  from: TypedAnswerFormat,
  asked: AskedAnswer,
  head: AnswerHead,
): Translation {
  const { model, wantsUsage, createdAtS } = asked;
  const facts: AnswerFacts = {
    eventId: head.eventId,
    model,
    wantsUsage,
    createdAtS,
    inputTokens: head.inputTokens ?? 0,
  };
  return asked.streamed
    ? new StreamTranslation(from.createPieceReader(), to.createStreamWriter(facts))
    : new WholeTranslation(to, from, facts);
}

class StreamTranslation implements Translation {
  readonly #reader: PieceReader;
  readonly #writer: StreamWriter;

  constructor(reader: PieceReader, writer: StreamWriter) {
    this.#reader = reader;
    this.#writer = writer;
  }

  readWhole(): void {
    throw new Error("Cannot translate answer: it is a stream");
  }

  read(bytes: Buffer): Buffer {
    return this.#writer.write(this.#reader.read(bytes));
  }

  end(usage: Usage): Buffer {
    const owed = this.#writer.write(this.#reader.end());
    return Buffer.concat([owed, this.#writer.end(usage, this.#reader.extras)]);
  }
}

class WholeTranslation implements Translation {
  readonly #to: CallerFormat;
  readonly #from: TypedAnswerFormat;
  readonly #facts: AnswerFacts;
  #answer: TypedAnswer | undefined;

  constructor(to: CallerFormat, from: TypedAnswerFormat, facts: AnswerFacts) {
    this.#to = to;
    this.#from = from;
    this.#facts = facts;
  }

  readWhole(bytes: Buffer): void {
    this.#answer = this.#from.toTypedAnswer(bytes);
  }

  read(): Buffer {
    throw new Error("Cannot translate answer: it is no stream");
  }

  end(usage: Usage): Buffer {
    if (this.#answer === undefined) throw new Error("Cannot translate answer: there is none");
    return this.#to.composeAnswer(this.#answer, usage, this.#facts);
  }
}
