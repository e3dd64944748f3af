import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { CallerSchema } from "../../../gen/weir/type/v1/caller_pb.ts";
import { MatchedRuleSchema, PriorityClass, RuleEffect } from "../../../gen/weir/type/v1/decision_pb.ts";
import { LIMITS_NAMED } from "./call-record.ts";
import { sampleCall, sampleTarget } from "./calls.fixture.ts";
import { createFrameWriter } from "./frame.ts";
import type { StartedCall } from "./started-call.ts";
import { decodeStarted, writeStarted } from "./started-frame.ts";

const writer = createFrameWriter();

function encode(started: StartedCall): Buffer {
  writer.at = 0;
  writeStarted(writer, started);
  return Buffer.from(writer.bytes.subarray(0, writer.at));
}

const readAgain = (started: StartedCall) => decodeStarted(started.eventId, encode(started));

describe("started call on disk", () => {
  it("a successor reads exactly the call that was begun", () => {
    const started = sampleCall();
    expect(readAgain(started)).toMatchObject(started);
  });

  it("bounds that the request set, quotes in names and big numbers survive", () => {
    const started = sampleCall({
      model: 'a"b\\\u0000',
      maxOutputTokens: 2n ** 62n,
      answers: 3,
      limits: [],
      candidates: [
        { target: sampleTarget('x"y'), priority: 2 ** 31 - 1, weight: 10_000, draw: 1_000_000_000 },
        { target: sampleTarget("second"), priority: -1, weight: 0, draw: 0 },
        { target: sampleTarget("third"), priority: 0, weight: 1, draw: 7, isDeferred: true },
      ],
      rejected: [],
      caller: create(CallerSchema, {
        identity: { case: "subject", value: 'user"1' },
        organisation: "acme",
        team: "t",
        app: "a",
        environment: "e",
        runId: "run",
        step: 2n ** 60n,
      }),
      endUser: "é",
    });
    expect(readAgain(started)).toMatchObject(started);
  });

  it("a successor reads what rules bore on a call and what it was asked with", () => {
    const started = sampleCall({
      rejected: [{ target: { id: "openai-us/small" }, reason: "RULE_EXCLUDED", rule: "home" }],
      rules: {
        matched: [create(MatchedRuleSchema, { rule: "home", effect: RuleEffect.RESIDENCY, failed: true })],
        askedOutputTokens: 2n ** 40n,
        inputBytes: 4_000,
        hasTools: true,
        labels: { tier: "gold", agent: "a" },
        priorityClass: PriorityClass.SHEDDABLE,
      },
    });
    expect(readAgain(started)).toMatchObject(started);
    expect(readAgain(sampleCall())).not.toHaveProperty("rules");
  });

  it.each([undefined, 0n, 1n, 2n ** 63n - 1n])("a cap of %s tokens is read as that", (maxOutputTokens) => {
    const cap = maxOutputTokens === undefined ? {} : { maxOutputTokens };
    expect(readAgain(sampleCall(cap)).maxOutputTokens).toBe(maxOutputTokens);
  });

  it("of very many limits those are there that the record names", () => {
    const limits = Array.from({ length: 1024 }, (_, index) => ({ id: `limit-${index}` }));
    expect(readAgain(sampleCall({ limits })).limits).toEqual(limits.slice(0, LIMITS_NAMED));
  });

  it("what a later version adds is passed over", () => {
    const started = sampleCall();
    const added = Buffer.from([(15 << 3) | 2, 1, 7]);
    expect(decodeStarted(started.eventId, Buffer.concat([encode(started), added]))).toMatchObject(started);
  });

  it("a form of a later version is refused, not misread", () => {
    const later = encode(sampleCall());
    later[0] = 3;
    expect(() => decodeStarted("", later)).toThrow(/form is 3/);
  });

  it("a large call under few names fits an entry, however many targets it has", () => {
    const target = sampleTarget("t".repeat(128));
    const started = sampleCall({
      candidates: Array.from({ length: 64 }, () => ({ target, priority: 0, weight: 1, draw: 1 })),
    });
    expect(readAgain(started).candidates).toHaveLength(64);
  });
});
