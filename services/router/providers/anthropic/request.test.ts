import { describe, expect, it } from "vitest";
import type { RelayedRequest } from "../dialect.ts";
import { countTokens } from "./count-tokens.ts";
import { messages } from "./messages.ts";

const FRESH = { allocate: (sizeBytes: number) => Buffer.alloc(sizeBytes) };
const BODY =
  '{"system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}],  "model" : "m1","x":[1.50,{"model":"m1"}],"messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"Eq/+=="}]}]}';

function request(): RelayedRequest {
  const bytes = Buffer.from(BODY);
  const modelStart = bytes.indexOf('"m1"');
  return {
    format: "messages",
    bytes,
    modelStart,
    modelEnd: modelStart + 4,
    streamed: true,
    streamOptionsStart: -1,
    streamOptionsEnd: -1,
    wantsUsage: true,
    toInput: () => {
      throw new Error("was translated");
    },
  };
}

describe("composeRelayed()", () => {
  it.each([
    ["messages", messages],
    ["count-tokens", countTokens],
  ])("puts the target's model in and touches nothing else of %s", (_, format) => {
    const longer = format.composeRelayed(request(), "claude-opus-5-5", FRESH).toString();
    const shorter = format.composeRelayed(request(), "m", FRESH).toString();

    expect(longer).toBe(BODY.replace('"m1"', '"claude-opus-5-5"'));
    expect(shorter).toBe(BODY.replace('"m1"', '"m" '));
  });
});
