import { type ChildProcess, fork } from "node:child_process";
import { join } from "node:path";

/** What a process of watchers is told. */
export type Order =
  | {
      readonly do: "start";
      readonly names: readonly string[];
      readonly region: string;
      readonly boot: string;
      /** They take these by turns. */
      readonly addresses: readonly string[];
      /** Text of the trust file. */
      readonly trust: string;
      /** Whether they say that they hold what the process has verified, as after a restart from disk, or nothing. */
      readonly from: "held" | "nothing";
    }
  | { readonly do: "stop"; readonly names: readonly string[] }
  | { readonly do: "read" };

/** What it says; a version as text, times in milliseconds of the machine's monotonic clock. */
export type Answer =
  | { readonly said: "started"; readonly takenOnAfterMs: readonly number[]; readonly readyAfterMs: readonly number[] }
  | { readonly said: "stopped" }
  | {
      readonly said: "read";
      readonly seen: readonly (readonly [version: string, times: readonly number[]])[];
      /** Of all messages that its living watchers ever got. */
      readonly bytes: number;
      readonly failures: readonly string[];
    };

type Said<Name extends Answer["said"]> = Extract<Answer, { readonly said: Name }>;

/** A process with light watchers, seen from outside. One order at a time. */
export class WatcherProcess {
  readonly #child: ChildProcess;

  constructor() {
    this.#child = fork(join(import.meta.dirname, "watchers.ts"), {
      serialization: "advanced",
      execArgv: ["--max-old-space-size=1024"],
    });
  }

  /** Its process id. */
  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Gives an order and waits for its answer. Throws when the process ends before. */
  async ask<Name extends Answer["said"]>(order: Order, said: Name): Promise<Said<Name>> {
    const answered = Promise.withResolvers<Said<Name>>();
    const onMessage = (answer: Answer): void => {
      if (answer.said === said) answered.resolve(answer as Said<Name>);
    };
    const onExit = (): void => answered.reject(new Error("Cannot ask watchers: their process has ended"));
    this.#child.on("message", onMessage).once("exit", onExit);
    try {
      this.#child.send(order);
      return await answered.promise;
    } finally {
      this.#child.off("message", onMessage).off("exit", onExit);
    }
  }

  /** Ends it. */
  stop(): void {
    this.#child.kill("SIGKILL");
  }
}
