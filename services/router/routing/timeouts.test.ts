import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { SnapshotTargetSchema } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { readTargetTimeouts, shorten } from "./timeouts.ts";

const ALLOWED = { connectMs: 10, firstTokenMs: 20, idleMs: 30, totalMs: 40 };

const NAMES = ["connectMs", "firstTokenMs", "idleMs", "totalMs"] as const;

describe("readTargetTimeouts()", () => {
  it.each(NAMES)("takes the %s of a target that has no other of its own, and the others of its provider", (name) => {
    const field = name.replace("Ms", "Timeout");
    const target = create(SnapshotTargetSchema, { [field]: { seconds: 7n } });
    expect(readTargetTimeouts(target, ALLOWED)).toEqual({ ...ALLOWED, [name]: 7_000 });
  });
});

describe("shorten()", () => {
  it.each(NAMES)(
    "takes the %s that a caller asks where that is shorter, and what is allowed where it is longer",
    (name) => {
      expect(shorten(ALLOWED, { [name]: 5 })).toEqual({ ...ALLOWED, [name]: 5 });
      expect(shorten(ALLOWED, { [name]: 1_000 })).toEqual(ALLOWED);
    },
  );

  it("makes nothing new for a caller who asks nothing", () => {
    expect(shorten(ALLOWED, undefined)).toBe(ALLOWED);
  });
});
