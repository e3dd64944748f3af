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
  /** Values of the authorization header that requests take turns with, one a line. */
  readonly rotateFile?: string;
  /** Waits, after a restart, until it has all that it works with. */
  waitReady?(): Promise<void>;
}
