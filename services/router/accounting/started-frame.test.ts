import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { CallerSchema } from "../../../gen/weir/type/v1/caller_pb.ts";
import { sampleCall, sampleTarget } from "./calls.fixture.ts";
import { decodeStarted, encodeStarted } from "./started-frame.ts";

describe("started call on disk", () => {
  it("a successor reads exactly the call that was begun", () => {
    const started = sampleCall();
    expect(decodeStarted(encodeStarted(started))).toEqual(started);
  });

  it("bounds that the request set, quotes in names and big numbers survive", () => {
    const started = sampleCall({
      model: 'a"b\\\u0000',
      maxOutputTokens: 2n ** 62n,
      answers: 3,
      limits: [],
      candidates: [],
      targets: [sampleTarget('x"y'), sampleTarget("second")],
      caller: create(CallerSchema, {
        identity: { case: "subject", value: 'user"1' },
        organisation: "acme",
        team: "t",
        app: "a",
        environment: "e",
        runId: "run",
        step: 2n ** 60n,
        endUser: "é",
      }),
    });
    expect(decodeStarted(encodeStarted(started))).toEqual(started);
  });

  it("a form of a later version is refused, not misread", () => {
    const later = encodeStarted(sampleCall()).toString().replace('"v":1', '"v":2');
    expect(() => decodeStarted(Buffer.from(later))).toThrow(/form is 2/);
  });
});
