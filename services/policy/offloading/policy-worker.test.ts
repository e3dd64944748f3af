import { EventEmitter } from "node:events";
import { create, toBinary } from "@bufbuild/protobuf";
import { afterAll, describe, expect, it } from "vitest";
import { PolicySchema } from "../../../gen/weir/policy/v1/policy_pb.ts";
import { CheckPolicyResponseSchema } from "../../../gen/weir/policy/v1/policy_service_pb.ts";
import { ManualClock } from "../../shared/clock.ts";
import { encodeEntries } from "../../shared/snapshot/file.ts";
import { sampleKeyEntry } from "../../shared/snapshot/snapshots.fixture.ts";
import { createLog } from "../../shared/telemetry/log.ts";
import { comparePolicies } from "../comparison/compare-policies.ts";
import { checkPolicy } from "../compilation/check-policy.ts";
import { compileSnapshot } from "../compilation/compile.ts";
import { samplePolicy } from "../compilation/policy.fixture.ts";
import { MOST_WORK, PolicyWorker, SMALL_BYTES, startWorkThread, WORK_MS, type WorkThread } from "./policy-worker.ts";

/** A thread under the hand of a test. */
class FakeThread extends EventEmitter {
  readonly works: unknown[] = [];
  isTerminated = false;
  postMessage(work: unknown): void {
    this.works.push(work);
  }
  terminate(): Promise<number> {
    this.isTerminated = true;
    return Promise.resolve(1);
  }
  unref(): void {}
  /** Says that nothing is wrong. */
  answer(): void {
    this.emit("message", { result: toBinary(CheckPolicyResponseSchema, create(CheckPolicyResponseSchema)) });
  }
}

function start() {
  const threads: FakeThread[] = [];
  const clock = new ManualClock();
  const log = createLog({ service: "policy", level: "fatal" });
  const startThread = (): WorkThread => {
    const thread = new FakeThread();
    threads.push(thread);
    return thread as never;
  };
  return { worker: new PolicyWorker({ clock, log, startThread }), clock, threads };
}

/** Lets what waits for promises go on. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

const large = samplePolicy((json) => {
  const [target] = json.targets;
  json.targets.push(...Array.from({ length: 500 }, (_, index) => ({ ...target!, id: `idle-${index}` })));
});
const small = toBinary(PolicySchema, samplePolicy());
const content = toBinary(PolicySchema, large);

describe("PolicyWorker", () => {
  it("does what is small at once, without a thread", async () => {
    const { worker, threads } = start();

    expect(await worker.check(small)).toEqual([]);
    expect(await worker.compile(small, [])).toEqual([]);
    expect(threads).toEqual([]);
  });

  it("counts the keys that a comparison is told of as work, however small the policies are", async () => {
    const { worker, threads } = start();

    void worker.compare({
      before: small,
      after: small,
      nowMs: 0,
      keys: [new Uint8Array(SMALL_BYTES)],
      skip: 0,
      limit: 1,
    });
    await settle();

    expect(threads[0]?.works).toHaveLength(1);
  });

  it("asks its thread for one piece of work after the other, and refuses when too many wait", async () => {
    const { worker, threads } = start();
    const asked = Array.from({ length: MOST_WORK }, () => worker.check(content));

    await expect(worker.check(content)).rejects.toMatchObject({ reason: "UNAVAILABLE" });
    for (let index = 0; index < MOST_WORK; index++) {
      await settle();
      expect(threads[0]?.works).toHaveLength(index + 1);
      threads[0]?.answer();
    }

    expect(await Promise.all(asked)).toEqual(asked.map(() => []));
    expect(threads).toHaveLength(1);
  });

  it("passes on what the work throws, and goes on with the same thread", async () => {
    const { worker, threads } = start();
    const asked = [worker.check(content), worker.check(content)];
    await settle();
    threads[0]?.emit("message", { error: new Error("broken") });
    await expect(asked[0]).rejects.toThrow("broken");
    await settle();
    threads[0]?.answer();

    expect(await asked[1]).toEqual([]);
    expect(threads).toHaveLength(1);
  });

  it.each([
    ["error", new Error("out of memory")],
    ["exit", 1],
  ])("fails the work at which its thread died by %s, and does the next with another thread", async (event, value) => {
    const { worker, threads } = start();
    const asked = worker.check(content);
    const next = worker.check(content);
    await settle();
    threads[0]?.emit(event, value);
    threads[0]?.emit("exit", 1);

    await expect(asked).rejects.toMatchObject({ reason: "UNAVAILABLE", message: /its thread died/ });
    await settle();
    threads[1]?.answer();
    expect(await next).toEqual([]);
  });

  it("does with another thread what follows when a thread died that had nothing to do", async () => {
    const { worker, threads } = start();
    const first = worker.check(content);
    await settle();
    threads[0]?.answer();
    await first;
    threads[0]?.emit("exit", 1);

    const second = worker.check(content);
    await settle();
    threads[1]?.answer();

    expect(await second).toEqual([]);
  });

  it("ends a thread that takes too long, and one whose work nobody waits for any more", async () => {
    const { worker, clock, threads } = start();
    const late = worker.check(content);
    await settle();
    clock.advance(WORK_MS);
    await expect(late).rejects.toMatchObject({ reason: "UNAVAILABLE", message: /longer than 20 s/ });

    const gone = new AbortController();
    const left = worker.check(content, gone.signal);
    await settle();
    gone.abort(new Error("hung up"));
    await expect(left).rejects.toThrow("hung up");

    expect(threads.map(({ isTerminated }) => isTerminated)).toEqual([true, true]);
    await expect(worker.check(content, gone.signal)).rejects.toThrow("hung up");
    expect(threads).toHaveLength(2);
  });
});

describe("PolicyWorker, with a thread of its own", () => {
  const threads: WorkThread[] = [];
  const worker = new PolicyWorker({
    clock: new ManualClock(),
    log: createLog({ service: "policy", level: "fatal" }),
    startThread: () => {
      const thread = startWorkThread();
      threads.push(thread);
      return thread;
    },
  });
  afterAll(() => Promise.all(threads.map((thread) => thread.terminate())));

  it("says what checking, compiling and comparing say, while the event loop goes round", async () => {
    const options = { region: "eu", version: 3n, policyVersion: 7n };
    const entry = sampleKeyEntry("abcdefghijkl");
    let turns = 0;
    const turn = setInterval(() => {
      turns += 1;
    });

    const findings = await worker.check(content);
    const [snapshot] = await worker.compile(content, [options]);
    const keys = [encodeEntries([entry])];
    const compared = await worker.compare({ before: small, after: content, nowMs: 0, keys, skip: 1, limit: 2 });
    clearInterval(turn);

    expect(findings).toEqual(checkPolicy(large));
    expect(snapshot).toEqual(compileSnapshot(large, options));
    const all = comparePolicies(samplePolicy(), large, 0).list();
    expect(compared).toMatchObject({ changes: all.slice(1, 3), omittedChanges: BigInt(all.length - 3) });
    expect(turns).toBeGreaterThan(3);
    expect(threads).toHaveLength(1);
  });

  it("fails the work whose thread is ended, and does the next", async () => {
    const ended = threads[0]?.terminate();
    const asked = worker.check(content);
    await ended;

    await expect(asked).rejects.toMatchObject({ reason: "UNAVAILABLE" });
    expect(await worker.check(content)).toEqual(checkPolicy(large));
  });
});
