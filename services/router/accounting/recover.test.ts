import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createLog } from "../../shared/telemetry/log.ts";
import { SAMPLE_MS, sampleCall } from "./calls.fixture.ts";
import { createFrameWriter } from "./frame.ts";
import type { Leftover } from "./leftover.ts";
import type { Outcome } from "./outcome.ts";
import { recoverCalls } from "./recover.ts";
import { SegmentList } from "./segment-list.ts";
import type { StartedCall } from "./started-call.ts";
import { writeStarted } from "./started-frame.ts";

const log = createLog({ service: "test", level: "silent" });
let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "weir-recover-"));
});

afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

/** What a router has left that died with calls open, each by its id and the payload of its beginning. */
function leave(open: readonly (readonly [eventId: string, started: Buffer])[]): Leftover {
  return {
    producer: { region: "eu", instance: "eu-1", boot: "life-1" },
    list: new SegmentList(directory),
    open: new Map(open.map(([eventId, started]) => [eventId, { started }])),
    settledForOthers: new Set(),
  };
}

function encode(started: StartedCall): Buffer {
  const writer = createFrameWriter();
  writer.at = 0;
  writeStarted(writer, started);
  return Buffer.from(writer.bytes.subarray(0, writer.at));
}

/** Recovers at an instant; what was settled, by id. */
function recover(leftover: Leftover, nowMs: number): Map<string, Outcome> {
  const settled = new Map<string, Outcome>();
  recoverCalls([leftover], ({ eventId }, outcome) => settled.set(eventId, outcome), nowMs, log);
  return settled;
}

describe("recoverCalls()", () => {
  it("ends a call no sooner than it began, also when the clock was set back since", () => {
    const call = sampleCall();

    const outcome = recover(leave([[call.eventId, encode(call)]]), SAMPLE_MS - 60_000).get(call.eventId);

    expect(outcome).toMatchObject({
      endedAtMs: SAMPLE_MS,
      attempts: [{ startedAtMs: SAMPLE_MS, endedAtMs: SAMPLE_MS }],
    });
  });

  it("settles the others when the beginning of one can't be read", () => {
    const [unreadable, call] = [sampleCall(), sampleCall()];
    const open = [[unreadable.eventId, Buffer.from("?")] as const, [call.eventId, encode(call)] as const];

    const settled = recover(leave(open), SAMPLE_MS);

    expect([...settled.keys()]).toEqual([call.eventId]);
  });
});
