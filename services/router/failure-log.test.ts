import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { SnapshotTargetSchema } from "../../gen/weir/policy/v1/snapshot_pb.ts";
import { OutcomeKind } from "../../gen/weir/type/v1/usage_pb.ts";
import { ManualClock } from "../shared/clock.ts";
import type { Reason } from "../shared/errors/reason.ts";
import { WeirError } from "../shared/errors/weir-error.ts";
import { createLog } from "../shared/telemetry/log.ts";
import type { AttemptResult } from "./dispatch/result.ts";
import { FailureLog } from "./failure-log.ts";

function attempt(reason: Reason | undefined, id = "p/small"): AttemptResult {
  return {
    target: create(SnapshotTargetSchema, { id }),
    startedAtMs: 0,
    endedAtMs: 0,
    outcome: OutcomeKind.FAILED,
    providerStatus: 0,
    ...(reason !== undefined && { error: new WeirError(reason, "Cannot answer: state") }),
  };
}

function start() {
  const clock = new ManualClock();
  const lines: string[] = [];
  const log = createLog({ service: "test", destination: { write: (line) => void lines.push(line) } });
  return { clock, lines, failures: new FailureLog(log, clock) };
}

describe("FailureLog", () => {
  it("writes one line a second for a target, and says how many it left out", () => {
    const { clock, lines, failures } = start();

    for (let i = 0; i < 5; i += 1)
      failures.note("e", [attempt("PROVIDER_FAILED"), attempt("PROVIDER_FAILED", "q/small")]);
    clock.advance(1_000);
    failures.note("e", [attempt("PROVIDER_FAILED")]);

    expect(lines.map((line) => JSON.parse(line)).map(({ target, left_out }) => [target, left_out])).toEqual([
      ["p/small", 0],
      ["q/small", 0],
      ["p/small", 4],
    ]);
  });

  it("says nothing of answers, of callers who left, and of requests that were at fault", () => {
    const { lines, failures } = start();

    failures.note("e", [attempt(undefined), attempt("CALLER_GONE"), attempt("PROVIDER_REFUSED")]);

    expect(lines).toEqual([]);
  });
});
