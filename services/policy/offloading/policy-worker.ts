import { Worker } from "node:worker_threads";
import { fromBinary } from "@bufbuild/protobuf";
import type { Finding } from "../../../gen/weir/policy/v1/policy_pb.ts";
import {
  CheckPolicyResponseSchema,
  type DiffPolicyResponse,
  DiffPolicyResponseSchema,
} from "../../../gen/weir/policy/v1/policy_service_pb.ts";
import type { Clock } from "../../shared/clock.ts";
import { WeirError } from "../../shared/errors/weir-error.ts";
import type { Log } from "../../shared/telemetry/log.ts";
import type { CompiledSnapshot, CompileOptions } from "../compilation/compile.ts";
import { type CompareWork, doPolicyWork, type PolicyWork, type PolicyWorkResults } from "./policy-work.ts";
import type { WorkAnswer } from "./work-thread.ts";

/** What a worker needs. */
export interface PolicyWorkerOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Makes the thread; default one of `work-thread.ts`. */
  readonly startThread?: () => WorkThread;
}

/** The part of a thread that is used. */
export type WorkThread = Pick<Worker, "on" | "postMessage" | "terminate" | "unref">;

/** Work on no more bytes than this is done at once, in a few milliseconds: a thread takes longer to start, and 30 MB. */
export const SMALL_BYTES = 8 * 1024;
/** Most pieces of work at a time, the one under way among them: each holds its policies in memory. */
export const MOST_WORK = 8;
/** How long a piece of work may take, once its turn has come. Below what PostgreSQL waits for a transaction that compiles meanwhile (30 s). */
export const WORK_MS = 20_000;
/** Most memory of the thread's heap, in MiB. */
const HEAP_MB = 1_024;
/** Of its young objects: those of the process are few, for the sake of its event loop, of which this thread has one of its own. */
const YOUNG_HEAP_MB = 48;

/** A piece of work that the thread is at. */
interface Asked {
  readonly resolve: (answer: WorkAnswer) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Works on whole policies in a thread of its own, one piece after the other, so that watches, heartbeats and revocations go on meanwhile.
 * The thread starts with the first work that is not small, and anew after one that was ended. All methods throw UNAVAILABLE when too many
 * wait, and when the thread dies at the work or takes longer than {@link WORK_MS}; and the signal's reason when it fires.
 */
export class PolicyWorker {
  readonly #options: PolicyWorkerOptions;
  #thread: WorkThread | undefined;
  #asked: Asked | undefined;
  #count = 0;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: PolicyWorkerOptions) {
    this.#options = options;
  }

  /** All that is wrong with an encoded policy; see `checkPolicy`. */
  async check(policy: Uint8Array, signal?: AbortSignal): Promise<Finding[]> {
    return fromBinary(CheckPolicyResponseSchema, await this.#do({ act: "check", policy }, signal)).findings;
  }

  /** Compiles snapshots of an encoded policy, in the order in which they are asked for; see `compileSnapshot`. */
  async compile(
    policy: Uint8Array,
    snapshots: readonly CompileOptions[],
    signal?: AbortSignal,
  ): Promise<readonly CompiledSnapshot[]> {
    return await this.#do({ act: "compile", policy, snapshots }, signal);
  }

  /** What one policy changes of another; see `comparePolicies`. */
  async compare(
    work: CompareWork,
    signal?: AbortSignal,
  ): Promise<Pick<DiffPolicyResponse, "changes" | "omittedChanges">> {
    return fromBinary(DiffPolicyResponseSchema, await this.#do({ act: "compare", ...work }, signal));
  }

  async #do<Work extends PolicyWork>(work: Work, signal?: AbortSignal): Promise<PolicyWorkResults[Work["act"]]> {
    // Each act has its result, as the table says.
    if (sizeOf(work) <= SMALL_BYTES) return doPolicyWork(work) as PolicyWorkResults[Work["act"]];
    if (this.#count === MOST_WORK) {
      throw unavailable(work.act, `${MOST_WORK} pieces of work on policies are under way or wait; try again`);
    }
    this.#count += 1;
    const mine = this.#last.then(() => this.#ask(work, signal));
    this.#last = mine.catch(() => {});
    try {
      return (await mine) as PolicyWorkResults[Work["act"]];
    } finally {
      this.#count -= 1;
    }
  }

  async #ask(work: PolicyWork, caller: AbortSignal | undefined): Promise<PolicyWorkResults[PolicyWork["act"]]> {
    caller?.throwIfAborted();
    const asked = Promise.withResolvers<WorkAnswer>();
    this.#asked = asked;
    const answering = new AbortController();
    const signal = AbortSignal.any([answering.signal, ...(caller === undefined ? [] : [caller])]);
    this.#options.clock.sleep(WORK_MS, signal).then(
      () => this.#end(unavailable(work.act, `it takes longer than ${WORK_MS / 1_000} s; make it smaller`)),
      (reason) => {
        // Nobody waits for it any more, and only with its thread does it end.
        if (!answering.signal.aborted) this.#end(reason);
      },
    );
    try {
      const thread = this.#thread ?? this.#start();
      thread.postMessage(work);
      const answer = await asked.promise;
      if ("error" in answer) throw answer.error;
      return answer.result;
    } finally {
      this.#asked = undefined;
      answering.abort();
    }
  }

  #start(): WorkThread {
    const { startThread = startWorkThread } = this.#options;
    const thread = startThread();
    this.#thread = thread;
    // It ends with the process, and does not keep it alive.
    thread.unref();
    thread.on("message", (answer: WorkAnswer) => {
      if (thread === this.#thread) this.#asked?.resolve(answer);
    });
    const die = (cause: unknown): void => {
      if (thread !== this.#thread) return;
      this.#options.log.warn(
        { err: cause },
        "The thread that works on policies died; the next work starts another one",
      );
      this.#end(
        unavailable("work on", "its thread died, perhaps for lack of memory; try again, or make it smaller", cause),
      );
    };
    thread.on("error", die);
    thread.on("exit", (code) => die(new Error(`Its exit code is ${code}`)));
    return thread;
  }

  /** Ends the thread, and with an error what it is at. */
  #end(error: unknown): void {
    void this.#thread?.terminate();
    this.#thread = undefined;
    this.#asked?.reject(error);
  }
}

function unavailable(act: string, state: string, cause?: unknown): WeirError {
  return new WeirError("UNAVAILABLE", `Cannot ${act} policy: ${state}`, { cause });
}

function sizeOf(work: PolicyWork): number {
  if (work.act !== "compare") return work.policy.length;
  return [work.before, work.after, ...work.keys].reduce((sum, { length }) => sum + length, 0);
}

/** A thread that works. */
export function startWorkThread(): WorkThread {
  return new Worker(new URL("./work-thread.ts", import.meta.url), {
    name: "weir policy work",
    // It needs nothing of the process's, least of all its secrets.
    env: {},
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MB, maxYoungGenerationSizeMb: YOUNG_HEAP_MB },
  });
}
