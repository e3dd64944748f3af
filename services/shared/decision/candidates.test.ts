import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { ModelSchema } from "../../../gen/weir/policy/v1/policy_pb.ts";
import { SnapshotProviderSchema, SnapshotTargetSchema } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { toCandidates } from "./candidates.ts";

describe("toCandidates()", () => {
  it("lists the targets in the order of their trial, then the rejected ones with their reason", () => {
    const target = (id: string) => create(SnapshotTargetSchema, { id });
    const provider = create(SnapshotProviderSchema, { id: "p" });

    const candidates = toCandidates({
      kind: "plan",
      model: create(ModelSchema, { id: "m" }),
      limits: [],
      candidates: [
        { target: target("b"), provider, priority: 1, weight: 2, draw: 5 },
        { target: target("c"), provider, priority: 0, weight: 1, draw: 3, isDeferred: true },
      ],
      rejected: [{ target: target("a"), reason: "PROVIDER_FAILED" }],
    });

    expect(candidates).toMatchObject([
      { target: "b", result: { case: "score", value: { priority: 1, weight: 2, draw: 5n, deferred: false } } },
      { target: "c", result: { case: "score", value: { priority: 0, weight: 1, draw: 3n, deferred: true } } },
      { target: "a", result: { case: "rejected", value: "PROVIDER_FAILED" } },
    ]);
  });
});
