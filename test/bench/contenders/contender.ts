import type { WireFormat } from "../prompts.ts";
import type { Program, Setup } from "../setup.ts";

/** Something that stands between caller and provider, or nothing at all. */
export interface Contender {
  readonly name: string;
  /** One line for the reader of the results. */
  readonly about: string;
  /** Why it cannot run on this machine; undefined when it can. */
  findObstacle?(): Promise<string | undefined> | string | undefined;
  /** Starts it on the gateway's core, beside the provider. */
  start(setup: Setup): Promise<RunningContender>;
}

/**
 * What a gateway can be asked beside chat completions for a provider of chat completions: three formats that are relayed, and chat
 * completions that are translated for a provider of messages.
 */
export type SurfaceName = "messages" | "responses" | "embeddings" | "translation";

/** How a contender is asked on a surface. */
export interface Access {
  /** In which format. Default that of the provider. */
  readonly format?: WireFormat;
  /** Id of the model. Default "small". */
  readonly model?: string;
  /** In place of the contender's own. */
  readonly headers?: readonly string[];
}

/** A contender that takes requests. */
export interface RunningContender {
  readonly name: string;
  /** Absent when there is no gateway: the load goes to the provider. */
  readonly program?: Program;
  readonly port: number;
  /** Headers beside content-type, each "name: value". */
  readonly headers: readonly string[];
  /** The companions of the setup are its own: what they use does not count as foreign load. */
  readonly hasCompanions?: boolean;
  /** Serves gRPC ChatService. */
  readonly servesGrpc?: boolean;
  /** The surfaces on which it can be asked. Absent for a relay: all of them, each in the format of the provider. */
  readonly surfaces?: Partial<Readonly<Record<SurfaceName, Access>>>;
  /** Values of the authorization header that requests take turns with, one a line. */
  readonly rotateFile?: string;
  /** Waits, after a restart, until it has all that it works with. */
  waitReady?(): Promise<void>;
}
