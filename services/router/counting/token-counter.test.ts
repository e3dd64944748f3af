import { EventEmitter } from "node:events";
import { countTokens } from "gpt-tokenizer/encoding/o200k_base";
import { afterEach, describe, expect, it } from "vitest";
import { ManualClock } from "../../shared/clock.ts";
import { createLog } from "../../shared/telemetry/log.ts";
import { KeptText } from "../providers/kept-text.ts";
import { type CountWorker, LOAD_MS, MOST_COUNTS, startThread, WorkerCounter } from "./token-counter.ts";

const LIMIT_MS = 2_000;

/** A worker under the hand of a test. */
class FakeWorker extends EventEmitter {
  readonly jobs: unknown[] = [];
  isTerminated = false;
  postMessage(job: unknown): void {
    this.jobs.push(job);
  }
  terminate(): Promise<number> {
    this.isTerminated = true;
    return Promise.resolve(1);
  }
  unref(): void {}
  load(): void {
    this.emit("message", "loaded");
  }
}

interface Watched {
  deadlineMs: number;
  onDeadline(): void;
}

const threads: WorkerCounter[] = [];

function start(makeWorker: () => CountWorker = () => new FakeWorker() as never) {
  const clock = new ManualClock();
  const watched = new Set<Watched>();
  const deadlines = {
    add: (one: Watched) => void watched.add(one),
    remove: (one: Watched) => void watched.delete(one),
  };
  const logLines: string[] = [];
  const log = createLog({
    service: "router",
    level: "debug",
    destination: { write: (line) => void logLines.push(line) },
  });
  const workers: FakeWorker[] = [];
  const startWorker = () => {
    const worker = makeWorker();
    workers.push(worker as never);
    return worker;
  };
  const counter = new WorkerCounter({ deadlines, clock, log, startWorker });
  threads.push(counter);
  const results: (readonly number[] | undefined)[] = [];
  const ask = (text = "hello") => counter.count([keep(text)], (tokens) => results.push(tokens));
  const pass = (ms: number) => {
    clock.advance(ms);
    for (const one of watched) {
      if (one.deadlineMs > clock.monotonicMs()) continue;
      watched.delete(one);
      one.onDeadline();
    }
  };
  return { counter, workers, results, ask, pass, watched, logLines };
}

function keep(text: string): KeptText {
  const kept = new KeptText();
  kept.takeText(text);
  return kept;
}

/** A counter with a real thread. Its clock stands still, so that no count is late. */
function createReal(clock = new ManualClock()): { counter: WorkerCounter; workers: CountWorker[] } {
  const deadlines = { add: () => undefined, remove: () => undefined };
  const log = createLog({ service: "router", level: "error", destination: { write: () => undefined } });
  const workers: CountWorker[] = [];
  const startWorker = () => {
    const worker = startThread();
    workers.push(worker);
    return worker;
  };
  const counter = new WorkerCounter({ deadlines, clock, log, startWorker });
  threads.push(counter);
  return { counter, workers };
}

afterEach(async () => {
  await Promise.all(threads.splice(0).map((counter) => counter.stop()));
});

describe("WorkerCounter", () => {
  it("counts in its thread what the library counts", async () => {
    const { counter } = createReal();
    const texts = ['Grüße 🌊, "world"\n\tand so on', "", "<|endoftext|> is a text like any other"];

    const tokens = await new Promise((resolve) => counter.count(texts.map(keep), resolve));

    const options = { allowedSpecial: new Set<string>(), disallowedSpecial: new Set<string>() };
    expect(tokens).toEqual(texts.map((text) => countTokens(text, options)));
  });

  it("counts the first text, however long its thread takes to load", async () => {
    const { ask, pass, workers, results } = start(startThread);
    ask();

    pass(LIMIT_MS + LOAD_MS - 1);
    await new Promise((resolve) => (workers[0] as unknown as EventEmitter).once("message", resolve));

    await new Promise((resolve) => (workers[0] as unknown as EventEmitter).once("message", resolve));

    expect(results).toEqual([[1]]);
  });

  it("asks its worker for one count after the other, in their order", () => {
    const { ask, workers, results } = start();
    ask();
    ask();
    expect(workers[0]!.jobs).toHaveLength(1);

    workers[0]!.emit("message", [1]);
    workers[0]!.emit("message", [2]);

    expect(workers).toHaveLength(1);
    expect(results).toEqual([[1], [2]]);
  });

  it("starts no worker before there is something to count", () => {
    const { workers } = start();

    expect(workers).toEqual([]);
  });

  it("begins the time of a count when its worker has loaded", () => {
    const { ask, pass, workers, results } = start();
    ask();
    ask();

    pass(LIMIT_MS + LOAD_MS - 1);
    workers[0]!.load();
    pass(LIMIT_MS - 1);
    workers[0]!.emit("message", [1]);
    pass(1);

    expect(results).toEqual([[1], undefined]);
  });

  it("waits no longer for a worker that never loads, and so for the one after it", () => {
    const { ask, pass, workers, results } = start();
    ask();
    pass(LIMIT_MS + LOAD_MS);
    expect(results).toEqual([undefined]);

    workers[0]!.emit("exit", 1);
    pass(LIMIT_MS + LOAD_MS);
    ask();
    pass(LIMIT_MS + LOAD_MS - 1);
    expect(results).toHaveLength(1);
    pass(1);

    expect(results).toEqual([undefined, undefined]);
  });

  it("ends a count without a result at its deadline, and drops the result that comes later", () => {
    const { ask, pass, workers, results, watched } = start();
    ask();
    workers[0]!.load();

    pass(LIMIT_MS);
    workers[0]!.emit("message", [1]);
    ask();
    workers[0]!.emit("message", [2]);

    expect(results).toEqual([undefined, [2]]);
    expect(watched.size).toBe(0);
  });

  it("takes no more than a number of counts at a time, those whose deadline passed in the worker's hands among them", () => {
    const { ask, counter, pass, results, workers } = start();
    for (let i = 0; i < MOST_COUNTS; i += 1) ask();
    workers[0]!.load();
    expect(results).toEqual([]);

    ask();
    expect(results).toEqual([undefined]);
    pass(LIMIT_MS);

    expect(results).toHaveLength(MOST_COUNTS + 1);
    expect(counter.size).toBe(1);
  });

  it.each([
    ["error", new Error("out of memory")],
    ["exit", 1],
  ])(
    "ends all counts when its worker dies by %s, says so once, and starts another one after a rest",
    (event, value) => {
      const { ask, pass, workers, results, logLines, watched } = start();
      ask();
      ask();

      workers[0]!.emit(event, value);
      workers[0]!.emit("exit", 1);
      ask();
      expect(results).toEqual([undefined, undefined, undefined]);
      expect(logLines).toHaveLength(1);
      expect(watched.size).toBe(0);
      pass(60_000);
      ask();
      workers[1]!.emit("message", [3]);

      expect(results.at(-1)).toEqual([3]);
      expect(logLines).toHaveLength(1);
    },
  );

  it("does without a worker that does not answer", () => {
    const { ask, pass, workers, results } = start();
    ask();
    pass(60_000);

    ask();

    expect(workers[0]!.isTerminated).toBe(true);
    expect(results).toEqual([undefined, undefined]);
  });

  it("ends all counts when it is stopped, and every later one at once", async () => {
    const { counter, ask, workers, results } = start();
    ask();
    ask();

    const stopped = counter.stop();
    expect(results).toEqual([undefined, undefined]);
    ask();
    await stopped;

    expect(results).toHaveLength(3);
    expect(workers[0]!.isTerminated).toBe(true);
    expect(workers).toHaveLength(1);
  });

  it("ends the count of a thread that dies, and counts on in another one", async () => {
    const clock = new ManualClock();
    const { counter, workers } = createReal(clock);
    const count = () => new Promise((resolve) => counter.count([keep("hello")], resolve));
    const interrupted = count();

    await workers[0]!.terminate();
    expect(await interrupted).toBeUndefined();
    clock.advance(60_000);

    expect(await count()).toEqual([1]);
    expect(workers).toHaveLength(2);
  });
});
