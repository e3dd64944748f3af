import type {
  DialectSettings,
  EmbeddingFormat,
  Format,
  RelayedFormat,
  TypedAnswerFormat,
  TypedFormat,
} from "../providers/dialect.ts";

/** That bytes are relayed, and in which format. */
export interface RelayWayFormat {
  readonly kind: "relay";
  readonly format: RelayedFormat;
}

/** That typed messages are written, and in which format. */
export interface TypedWayFormat {
  readonly kind: "typed";
  readonly format: TypedAnswerFormat;
}

/** What all ways to one provider share. */
export interface WayOptions {
  /** Path of its base URL, without a slash at the end. */
  readonly basePath: string;
  readonly settings: DialectSettings;
  /** Headers of each call, name and value by turns; the credential is among them. */
  readonly headers: readonly string[];
}

/**
 * One way to ask a provider: in one format, with what its calls have in common made once. Paths are made once for each model;
 * there are no more models than the snapshot has targets.
 */
export class Way<Kind extends RelayWayFormat | TypedWayFormat> {
  readonly kind: Kind["kind"];
  readonly format: Kind["format"];
  /** Headers of a call whose answer comes in one piece. */
  readonly headers: readonly string[];
  /** The same of a call whose answer is a stream. */
  readonly streamHeaders: readonly string[];
  readonly #options: WayOptions;
  readonly #paths = new Map<string, string>();
  readonly #streamPaths = new Map<string, string>();

  constructor({ kind, format }: Kind, options: WayOptions) {
    this.kind = kind;
    this.format = format;
    this.headers = [...options.headers, "accept", "application/json"];
    this.streamHeaders = [...options.headers, "accept", format.streamType];
    this.#options = options;
  }

  /** Path of a call, with its query. `model` is a target's. */
  getPath(model: string, streamed: boolean): string {
    return (streamed ? this.#streamPaths : this.#paths).get(model) ?? this.#makePath(model, streamed);
  }

  #makePath(model: string, streamed: boolean): string {
    const { basePath, settings } = this.#options;
    const path = `${basePath}${this.format.toPath({ model, streamed, settings })}`;
    (streamed ? this.#streamPaths : this.#paths).set(model, path);
    return path;
  }
}

/** A way for requests that are relayed. */
export type RelayWay = Way<RelayWayFormat>;
/** A way for typed requests. */
export type TypedWay = Way<TypedWayFormat>;
/** The way for typed chats. */
export type ChatWay = Way<TypedWayFormat & { readonly format: TypedFormat }>;
/** The way for typed requests for embeddings. */
export type EmbeddingWay = Way<TypedWayFormat & { readonly format: EmbeddingFormat }>;

/** The ways to one provider. */
export interface Ways {
  /** By the format in which a caller wrote. */
  readonly relayed: ReadonlyMap<Format, RelayWay>;
  readonly typed: ChatWay;
  /** Absent when its dialect knows no embeddings. */
  readonly embeddings: EmbeddingWay | undefined;
}
