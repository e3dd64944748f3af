/** The thread that works on policies: started by `policy-worker.ts`, asked for one piece of work after the other. */
import { setPriority } from "node:os";
import { parentPort } from "node:worker_threads";
import { doPolicyWork, type PolicyWork, type PolicyWorkResults } from "./policy-work.ts";

/** What it says of a piece of work. */
export type WorkAnswer =
  | { readonly result: PolicyWorkResults[PolicyWork["act"]] }
  /** What the work has thrown; of its class only the message is left. */
  | { readonly error: unknown };

/** It gives way to the event loop where both share a core. On Linux this is about the calling thread alone, elsewhere not. */
const PRIORITY = 5;

if (process.platform === "linux") setPriority(0, PRIORITY);

parentPort?.on("message", (work: PolicyWork) => {
  parentPort?.postMessage(answer(work));
});

function answer(work: PolicyWork): WorkAnswer {
  try {
    return { result: doPolicyWork(work) };
  } catch (error) {
    return { error };
  }
}
