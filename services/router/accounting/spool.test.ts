import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import type { WeirError } from "../../shared/errors/weir-error.ts";
import { createEventId } from "../../shared/ids.ts";
import { findProcess } from "../../shared/process-identity.ts";
import { createLog } from "../../shared/telemetry/log.ts";
import { Batch } from "./batch.ts";
import { FactReader } from "./fact-reader.ts";
import { endUsage, openFacts } from "./facts-frame.ts";
import { readLeftovers } from "./leftover.ts";
import { type OpenEntry, Spool, type SpooledEntry, type SpoolOptions } from "./spool.ts";

const log = createLog({ service: "test", level: "silent" });
const roots: string[] = [];
const producer = { region: "eu", instance: "eu-1", boot: "life-1" };
const full = expect.objectContaining({ reason: "SPOOL_FULL" });

afterEach(() => {
  for (const root of roots.splice(0)) rmSync(root, { recursive: true, force: true });
});

function makeRoot(): string {
  const root = mkdtempSync(join(tmpdir(), "weir-spool-"));
  roots.push(root);
  return root;
}

function openSpool(options: Partial<SpoolOptions> = {}): Spool {
  return new Spool({ root: makeRoot(), producer, limitBytes: 2 ** 20, otherBytes: () => 0, ...options });
}

/** A call of plain bytes, whose usage and record have `size` bytes each. */
class PlainCall implements SpooledEntry {
  readonly eventId = createEventId(0);
  readonly #started: string;
  readonly #reserveBytes: number;
  size = 10;
  attempt: Uint8Array | undefined;
  /** What it was told, in order. */
  readonly heard: string[] = [];

  constructor(started: string, reserveBytes: number) {
    this.#started = started;
    this.#reserveBytes = reserveBytes;
  }

  writeStarted: SpooledEntry["writeStarted"] = (writer) => writer.raw(Buffer.from(this.#started));

  outcomeBytes = () => this.#reserveBytes;
  onBegun = () => void this.heard.push("begun");
  onRefused = ({ reason }: WeirError) => void this.heard.push(reason);
  onTaken = () => void this.heard.push("taken");

  writeFacts: SpooledEntry["writeFacts"] = (writer, usageSeq, recordSeq) => {
    openFacts(writer, this.eventId, usageSeq, recordSeq);
    writer.raw(Buffer.alloc(this.size, usageSeq));
    endUsage(writer);
    writer.raw(Buffer.alloc(this.size, recordSeq));
  };
}

/** Reads the next facts: their seqs and sizes. */
async function readNext(reader: FactReader, count = 10, bytes = 10_000): Promise<[seq: number, size: number][]> {
  const batch = new Batch(count, bytes);
  await reader.fill(batch);
  await reader.close();
  const facts: [number, number][] = [];
  const message = new BinaryReader(new Uint8Array(batch.payload));
  while (message.pos < message.len) {
    message.tag();
    facts.push([batch.firstSeq + facts.length, message.bytes().length]);
  }
  expect(facts.length).toBe(batch.count);
  if (facts.length > 0) expect(facts.at(-1)?.[0]).toBe(batch.lastSeq);
  return facts;
}

/** Reads the seqs of the next facts. */
const readSeqs = async (reader: FactReader) => (await readNext(reader)).map(([seq]) => seq);

interface OpenPlainCall {
  readonly call: PlainCall;
  readonly open: OpenEntry;
}

function begin(spool: Spool, started = "started", reserveBytes = 100): OpenPlainCall {
  const call = new PlainCall(started, reserveBytes);
  const open = spool.begin(call);
  spool.flush();
  return { call, open };
}

function note(spool: Spool, { call, open }: OpenPlainCall, attempt: string): void {
  call.attempt = Buffer.from(attempt);
  spool.note(open);
  spool.flush();
}

function settle(spool: Spool, { call, open }: OpenPlainCall, size = 10): void {
  call.size = size;
  spool.settle(call, open);
  spool.flush();
}

/** Puts a device in the place of the spool's file that is always full (Linux), so that the next write fails as on a full disk. */
function fillDisk(spool: Spool): void {
  const path = spool.list.segments.at(-1)?.path;
  const isFile = (name: string) =>
    existsSync(`/proc/self/fd/${name}`) && readlinkSync(`/proc/self/fd/${name}`) === path;
  const descriptor = Number(readdirSync("/proc/self/fd").find(isFile));
  closeSync(descriptor);
  // A new descriptor is always the lowest that is free.
  const others: number[] = [];
  for (let full = openSync("/dev/full", "w"); full !== descriptor; full = openSync("/dev/full", "w")) others.push(full);
  for (const other of others) closeSync(other);
}

describe("spool", () => {
  it("a process killed at any byte of its writing loses no whole entry, and a call has its outcome or is open", async () => {
    const root = makeRoot();
    const spool = openSpool({ root });
    const history: { bytes: number; open: string[]; facts: number }[] = [{ bytes: 0, open: [], facts: 0 }];
    const remember = (open: OpenPlainCall[], facts: number) =>
      history.push({ bytes: spool.list.bytes, open: open.map(({ call }) => call.eventId), facts });
    const first = begin(spool);
    remember([first], 0);
    const second = begin(spool);
    remember([first, second], 0);
    note(spool, first, "on");
    remember([first, second], 0);
    settle(spool, second);
    remember([first], 1);
    settle(spool, first);
    remember([], 2);
    const written = join(spool.list.directory, "00000001.segment");
    const identity = join(spool.list.directory, "identity.json");

    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: spool.list.bytes }), async (killedAt) => {
        const copy = mkdtempSync(join(tmpdir(), "weir-spool-"));
        const directory = join(copy, "life-1");
        mkdirSync(directory);
        copyFileSync(written, join(directory, "00000001.segment"));
        copyFileSync(identity, join(directory, "identity.json"));
        truncateSync(join(directory, "00000001.segment"), killedAt);
        const [left] = await readLeftovers(copy, log);
        rmSync(copy, { recursive: true });
        const expected = history.findLast(({ bytes }) => bytes <= killedAt)!;
        expect([...left!.open.keys()]).toEqual(expected.open);
        expect(left!.list.last).toEqual({ usage: expected.facts, record: expected.facts });
      }),
      { numRuns: 150 },
    );
  });

  it("what is read back is what was written, in order, across files and at any batch size", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 3_000 }), { minLength: 1, maxLength: 40 }),
        fc.integer({ min: 1, max: 10 }),
        fc.integer({ min: 1, max: 4_000 }),
        async (sizes, count, bytes) => {
          const spool = openSpool({ segmentBytes: 4_096 });
          for (const size of sizes) settle(spool, begin(spool), size);
          const reader = new FactReader(spool.list, "record");
          const read: [number, number][] = [];
          for (;;) {
            const facts = await readNext(reader, count, bytes);
            if (facts.length === 0) break;
            expect(facts.length).toBeLessThanOrEqual(count);
            if (facts.length > 1) expect(facts.reduce((sum, [, size]) => sum + size, 0)).toBeLessThanOrEqual(bytes);
            read.push(...facts);
          }
          expect(read).toEqual(sizes.map((size, index) => [index + 1, size]));
        },
      ),
      { numRuns: 30 },
    );
  });

  it("reading goes on where it was when more is written, and again from where it is told", async () => {
    const spool = openSpool();
    const reader = new FactReader(spool.list, "usage");
    settle(spool, begin(spool));
    expect(await readSeqs(reader)).toEqual([1]);
    expect(await readSeqs(reader)).toEqual([]);
    settle(spool, begin(spool));
    settle(spool, begin(spool));
    expect(await readSeqs(reader)).toEqual([2, 3]);
    reader.rewind(2);
    expect(await readSeqs(reader)).toEqual([2, 3]);
  });

  it("an entry larger than what is read at a time is read, and what is damaged later is not sent", async () => {
    const spool = openSpool({ limitBytes: 2 ** 24 });
    settle(spool, begin(spool), 500_000);
    expect(await readNext(new FactReader(spool.list, "record"))).toEqual([[1, 500_000]]);
    settle(spool, begin(spool));
    const path = spool.list.segments[0]!.path;
    const bytes = readFileSync(path);
    bytes[bytes.length - 1]! ^= 1;
    writeFileSync(path, bytes);
    const reader = new FactReader(spool.list, "usage");
    expect(await readNext(reader, 10, 10_000_000)).toEqual([[1, 500_000]]);
    expect(await readNext(reader)).toEqual([]);
    expect(reader.waiting).toBe(1);
  });

  it("the two kinds are read apart, each from where it is", async () => {
    const spool = openSpool({ segmentBytes: 4_096 });
    const [usages, records] = [new FactReader(spool.list, "usage"), new FactReader(spool.list, "record")];
    for (let index = 0; index < 100; index++) settle(spool, begin(spool), 50);
    spool.record({
      writeFacts: (writer, usageSeq, recordSeq) => {
        openFacts(writer, "", usageSeq, recordSeq);
        endUsage(writer);
        writer.raw(Buffer.alloc(7));
      },
      onTaken: () => undefined,
    });
    spool.flush();
    expect(await readNext(usages, 70)).toHaveLength(70);
    expect((await readNext(records, 1_000, 100_000)).at(-1)).toEqual([101, 7]);
    expect((await readNext(usages, 70)).at(-1)).toEqual([100, 50]);
    expect([usages.waiting, records.waiting]).toEqual([0, 0]);
  });

  it("a record that belongs to no call takes no number of the usages", async () => {
    const spool = openSpool();
    settle(spool, begin(spool));
    spool.record(new PlainCall("", 0));

    settle(spool, begin(spool));

    expect(await readSeqs(new FactReader(spool.list, "usage"))).toEqual([1, 2]);
    expect(await readSeqs(new FactReader(spool.list, "record"))).toEqual([1, 2, 3]);
  });

  it("a full spool refuses new calls and takes every outcome of those that began", () => {
    const spool = openSpool({ limitBytes: 4_096 });
    const open: OpenPlainCall[] = [];
    expect(() => {
      for (;;) open.push(begin(spool, "x".repeat(100), 300));
    }).toThrow(full);
    expect(open.length).toBeGreaterThan(5);
    for (const call of open) settle(spool, call, 120);
    expect(spool.list.last).toEqual({ usage: open.length, record: open.length });
    expect(spool.usedBytes).toBeLessThanOrEqual(4_096);
  });

  it("while the disk fails outcomes wait in memory and new calls are refused; then all of it is written in order, and the outage is told once", async () => {
    const failures: unknown[] = [];
    const spool = openSpool({ segmentBytes: 256, onFailing: (error) => failures.push(error) });
    const open = Array.from({ length: 6 }, () => begin(spool));
    const { directory } = spool.list;
    renameSync(directory, `${directory}-gone`);
    for (const call of open) settle(spool, call);
    expect(() => begin(spool)).toThrow(full);
    expect(spool.retry()).toBe(false);
    renameSync(`${directory}-gone`, directory);
    expect(spool.retry()).toBe(true);
    expect(await readSeqs(new FactReader(spool.list, "usage"))).toEqual([1, 2, 3, 4, 5, 6]);
    expect(() => begin(spool)).not.toThrow();
    expect(failures).toMatchObject([{ code: "ENOENT" }]);
  });

  it("what calls leave in a turn goes to disk by one write at its end, and only then are they told, in order", async () => {
    const writes: number[] = [];
    const spool = openSpool({ onWritten: (durationMs) => writes.push(durationMs) });
    const [first, second] = [new PlainCall("first", 100), new PlainCall("second", 100)];
    const open = spool.begin(first);
    spool.begin(second);
    spool.settle(first, open);
    expect([writes.length, spool.list.bytes, first.heard, second.heard]).toEqual([0, 0, [], []]);

    await new Promise((resolve) => setImmediate(resolve));

    expect(writes).toHaveLength(1);
    expect([first.heard, second.heard]).toEqual([["begun", "taken"], ["begun"]]);
    expect(await readSeqs(new FactReader(spool.list, "usage"))).toEqual([1]);
  });

  it("more than a turn may hold is written before its end, and nothing of it is lost or told early", async () => {
    const spool = openSpool({ limitBytes: 2 ** 24 });
    const calls = Array.from({ length: 40 }, () => new PlainCall("x".repeat(20_000), 100));
    for (const call of calls) {
      call.size = 5_000;
      spool.settle(call, spool.begin(call));
    }
    expect(spool.list.bytes).toBeGreaterThan(500_000);
    expect(calls.flatMap(({ heard }) => heard)).toEqual([]);

    spool.flush();

    expect(calls.every(({ heard }) => heard.join() === "begun,taken")).toBe(true);
    expect(await readNext(new FactReader(spool.list, "record"), 100, 1_000_000)).toHaveLength(40);
  });

  it("when the disk does not take a turn its new calls are refused, and its outcomes wait in memory", async () => {
    const spool = openSpool();
    const before = begin(spool);
    const refused = new PlainCall("refused", 100);
    fillDisk(spool);
    spool.begin(refused);
    spool.settle(before.call, before.open);

    spool.flush();

    expect(refused.heard).toEqual(["SPOOL_FULL"]);
    expect(before.call.heard).toEqual(["begun", "taken"]);
    expect([spool.openCalls, spool.list.last.usage]).toEqual([0, 0]);
    // The next file is taken by the disk again.
    expect(spool.retry()).toBe(true);
    expect(await readSeqs(new FactReader(spool.list, "usage"))).toEqual([1]);
    begin(spool);
    expect(spool.openCalls).toBe(1);
  });

  it("a call that begins when the disk takes entries again is taken, behind the outcomes that wait", async () => {
    const spool = openSpool();
    const before = begin(spool);
    fillDisk(spool);
    settle(spool, before);

    settle(spool, begin(spool));

    expect(await readSeqs(new FactReader(spool.list, "usage"))).toEqual([1, 2]);
  });

  it("tells of an outage once, and of the next one again", () => {
    const failures: unknown[] = [];
    const spool = openSpool({ onFailing: (error) => failures.push(error) });
    const calls = [begin(spool), begin(spool), begin(spool)];
    fillDisk(spool);
    settle(spool, calls[0]!);
    settle(spool, calls[1]!);
    fillDisk(spool);

    settle(spool, calls[2]!);

    expect(failures).toMatchObject([{ code: "ENOSPC" }, { code: "ENOSPC" }]);
  });

  it("what a turn has left so far counts against the limit", () => {
    const spool = openSpool({ limitBytes: 4_096 });
    expect(() => {
      for (;;) spool.begin(new PlainCall("x".repeat(100), 100));
    }).toThrow(full);

    spool.flush();

    expect(spool.usedBytes).toBeLessThanOrEqual(4_096);
  });

  it("an outcome that comes when the disk takes entries again is written behind those that wait", async () => {
    const spool = openSpool();
    const [first, second] = [begin(spool), begin(spool)];
    fillDisk(spool);
    settle(spool, first);

    settle(spool, second);

    expect(await readSeqs(new FactReader(spool.list, "usage"))).toEqual([1, 2]);
  });

  it("what earlier lives left counts against the limit", () => {
    expect(() => begin(openSpool({ limitBytes: 4_096, otherBytes: () => 4_000 }))).toThrow(full);
  });

  it("room comes back when the owners have the facts", () => {
    const spool = openSpool({ limitBytes: 8_192, segmentBytes: 512 });
    const fill = () => {
      let count = 0;
      try {
        for (; count < 1_000; count++) settle(spool, begin(spool), 200);
      } catch (error) {
        expect(error).toEqual(full);
      }
      return count;
    };
    const count = fill();
    spool.pass("usage", count);
    expect(fill()).toBe(0);
    spool.pass("record", count);
    expect(fill()).toBeGreaterThan(5);
  });

  it("a file stays while one owner lacks one of its facts", () => {
    const spool = openSpool({ segmentBytes: 512 });
    for (let index = 0; index < 12; index++) settle(spool, begin(spool), 100);
    const files = () => readdirSync(spool.list.directory).filter((name) => name.endsWith(".segment")).length;
    const before = files();
    spool.pass("usage", 12);
    expect(files()).toBe(before);
    spool.pass("record", 12);
    expect(files()).toBe(1);
  });

  it("an owner has no more than was written, whatever it claims, and never less than before", () => {
    const spool = openSpool();
    settle(spool, begin(spool));
    spool.pass("usage", 1_000);
    spool.pass("record", 1);
    spool.pass("record", 0);

    settle(spool, begin(spool));

    expect(spool.list.watermark).toEqual({ usage: 1, record: 1 });
  });

  it("a call that stays open for long does not hold old files, and is still known to a successor", async () => {
    const root = makeRoot();
    const spool = openSpool({ root, segmentBytes: 512 });
    const long = begin(spool, "the long one");
    note(spool, long, "its second attempt");
    for (let index = 0; index < 40; index++) settle(spool, begin(spool), 100);
    spool.pass("usage", 40);
    spool.pass("record", 40);
    expect(spool.list.segments.length).toBeLessThanOrEqual(5);
    expect(spool.list.segments[0]!.index).toBeGreaterThan(1);
    const [left] = await readLeftovers(root, log);
    expect(left!.open.get(long.call.eventId)?.started.toString()).toBe("the long one");
    expect(left!.open.get(long.call.eventId)?.attempt?.toString()).toBe("its second attempt");
    expect(left!.open.size).toBe(1);
  });

  it("with few files a call that stays open is not written again", () => {
    const spool = openSpool({ segmentBytes: 512 });
    begin(spool);
    while (spool.list.segments.length < 4) settle(spool, begin(spool), 100);
    const { usage, record } = spool.list.last;
    const { bytes } = spool.list;

    spool.pass("usage", usage);
    spool.pass("record", record);

    expect(spool.list.bytes).toBe(bytes);
  });

  it("a call whose router was killed while it carried the call keeps its last note", async () => {
    const root = makeRoot();
    const spool = openSpool({ root });
    const carried = begin(spool);
    note(spool, carried, "its second attempt");
    spool.begin(carried.call);
    spool.flush();

    const [left] = await readLeftovers(root, log);

    expect(left!.open.get(carried.call.eventId)?.attempt?.toString()).toBe("its second attempt");
  });

  it("a folder that does not say whose it is stays while it holds anything, and goes when it holds nothing", async () => {
    const root = makeRoot();
    for (const life of ["with-facts", "set-aside/life", "empty", "torn"])
      mkdirSync(join(root, life), { recursive: true });
    writeFileSync(join(root, "with-facts", "00000001.segment"), "");
    writeFileSync(join(root, "set-aside", "life", "00000001.segment"), "");
    writeFileSync(join(root, "torn", "identity.json"), "{");

    expect(await readLeftovers(root, log)).toEqual([]);
    expect(readdirSync(root).sort()).toEqual(["set-aside", "with-facts"]);
  });

  it("a part that is damaged in the middle hides nothing in the files after it", async () => {
    const root = makeRoot();
    const spool = openSpool({ root, segmentBytes: 256 });
    for (let index = 0; index < 6; index++) settle(spool, begin(spool), 60);
    const first = spool.list.segments[0]!.path;
    truncateSync(first, readFileSync(first).length - 5);
    const [left] = await readLeftovers(root, log);
    expect(left!.list.last).toEqual({ usage: 6, record: 6 });
  });

  it("an orderly end with everything arrived leaves nothing behind", () => {
    const spool = openSpool();
    settle(spool, begin(spool));
    spool.pass("usage", 1);
    spool.pass("record", 1);
    spool.close();
    expect(() => readdirSync(spool.list.directory)).toThrow(/ENOENT/);
  });

  it("an orderly end with a call open leaves it to a successor, also when everything else has arrived", async () => {
    const root = makeRoot();
    const spool = openSpool({ root });
    const { call } = begin(spool);

    spool.close();

    const [left] = await readLeftovers(root, log);
    expect([...left!.open.keys()]).toEqual([call.eventId]);
  });

  it("two processes cannot share a spool: a living owner is refused", async () => {
    const root = makeRoot();
    const spool = openSpool({ root });
    const path = join(spool.list.directory, "identity.json");
    // The parent of this process lives, and began when /proc says.
    const owner = findProcess(process.ppid);
    writeFileSync(path, JSON.stringify({ ...producer, owner }));
    await expect(readLeftovers(root, log)).rejects.toThrow(/still using it/);
    // A later process with the number of a dead one is not its owner.
    writeFileSync(path, JSON.stringify({ ...producer, owner: { ...owner, startTicks: "1" } }));
    expect(await readLeftovers(root, log)).toHaveLength(1);
  });
});
