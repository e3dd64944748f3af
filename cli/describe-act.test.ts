import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { type KeyChange, KeyChangeSchema, RecordSchema } from "../gen/weir/audit/v1/record_pb.ts";
import { ReleaseState } from "../gen/weir/policy/v1/release_pb.ts";
import { describeAct } from "./describe-act.ts";

const tell = (act: NonNullable<MessageInitShape<typeof RecordSchema>["act"]>) =>
  describeAct(create(RecordSchema, { act } as MessageInitShape<typeof RecordSchema>));

describe("describeAct()", () => {
  it("tells each change of a key from all others", () => {
    const told = KeyChangeSchema.values.map(({ number }) =>
      tell({ case: "keyChange", value: { keyId: "k", tenant: "acme/shop", change: number as KeyChange } }),
    );

    expect(told.slice(1)).toEqual([
      "key k made",
      "key k revoked",
      "key k updated",
      "key k rotated",
      "key k disabled",
      "key k enabled",
      "keys of acme/shop disabled",
      "keys of acme/shop enabled",
    ]);
  });

  it("tells of a change that this version does not know by its number", () => {
    expect(tell({ case: "keyChange", value: { keyId: "k", change: 99 as KeyChange } })).toBe("key k change 99");
  });

  it("counts waves from 1 and writes states as words", () => {
    const release = (after: ReleaseState) =>
      tell({ case: "releaseChange", value: { policyVersion: 7n, after, wave: 0 } });

    expect(release(ReleaseState.ROLLING)).toBe("release of policy version 7 rolling, wave 1");
    expect(release(ReleaseState.ROLLED_BACK)).toBe("release of policy version 7 rolled back");
  });
});
