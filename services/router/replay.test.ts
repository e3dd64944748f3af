import { create, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RecordSchema } from "../../gen/weir/audit/v1/record_pb.ts";
import { AuditRecordedSchema } from "../../gen/weir/event/v1/audit_recorded_pb.ts";
import { KeyGrantSchema, SnapshotSchema } from "../../gen/weir/policy/v1/snapshot_pb.ts";
import { CallerSchema } from "../../gen/weir/type/v1/caller_pb.ts";
import { PriorityClass } from "../../gen/weir/type/v1/decision_pb.ts";
import { Operation, OutcomeKind } from "../../gen/weir/type/v1/usage_pb.ts";
import { toCandidates } from "../shared/decision/candidates.ts";
import { decide } from "../shared/decision/decide.ts";
import type { Plan } from "../shared/decision/plan.ts";
import { decideAgain } from "../shared/decision/recorded-call.ts";
import { indexSnapshot } from "../shared/decision/tables.ts";
import { createEventId } from "../shared/ids.ts";
import { writeCallFacts } from "./accounting/call-facts.ts";
import { decodeFacts } from "./accounting/facts-frame.ts";
import { createFrameWriter, FRAME_HEAD_BYTES, FrameType, openFrame } from "./accounting/frame.ts";
import { encodeProducer } from "./accounting/producer.ts";
import type { Admission } from "./admission/admission.ts";
import type { ChatCall } from "./arrival/call.ts";
import { siftPlan, type View } from "./ejection/sift.ts";
import { toStartedCall } from "./started.ts";

const WHENS = [
  "",
  "call.streamed",
  'caller.labels.tier == "gold"',
  'caller.agent.startsWith("a") && call.max_output_tokens > 100',
  "call.has_tools && call.input_bytes > 500",
  "now.getMinutes() < 30",
  "int(caller.labels.tier) > 1",
  'call.operation == "embedding"',
];
const effect = fc.constantFrom(
  { case: "allow", value: {} },
  { case: "targetsOnly", value: { ids: ["b", "c"] } },
  { case: "residentProviders", value: { ids: ["p1"] } },
  { case: "capOutputTokens", value: 300n },
  { case: "priorityClass", value: PriorityClass.CRITICAL },
);
const rules = fc
  .array(fc.record({ when: fc.constantFrom(...WHENS), effect }), { maxLength: 6 })
  .map(
    (all) =>
      all.map((rule, index) => ({ ...rule, id: `r${index}` })) as MessageInitShape<typeof SnapshotSchema>["rules"],
  );
const asked = fc.record({
  operation: fc.constantFrom(Operation.CHAT, Operation.EMBEDDING),
  streamed: fc.boolean(),
  maxOutputTokens: fc.constantFrom(undefined, 0n, 50n, 5_000n),
  requestBytes: fc.constantFrom(10, 1_000),
  arrivedAtMs: fc.integer({ min: Date.UTC(2026, 0, 1), max: Date.UTC(2027, 0, 1) }),
});
/** How the router sees a target: well, coming back, due, out. */
const view = fc.oneof(
  fc.constant<View | undefined>(undefined),
  fc.record({ kind: fc.constant("in" as const), share: fc.double({ min: 0, max: 1, noNaN: true }) }),
  fc.constant<View>({ kind: "due" }),
  fc.record({
    kind: fc.constantFrom("absent" as const, "probed" as const),
    reason: fc.constantFrom("TARGET_EJECTED" as const, "PROVIDER_RATE_LIMITED" as const),
    tryMs: fc.constantFrom(0, 5_000),
  }),
);
const views = fc.record({ a: view, b: view, c: view });
/** Whether credentials are missing, and whether the call is bound to the account of one provider. */
const reach = fc.record({ isDown: fc.boolean(), isBound: fc.boolean() });
const labels = fc.constantFrom<Record<string, string>>({}, { tier: "gold" }, { tier: "2", agent: "ann" });

describe("the record of a call", () => {
  it("lets its decision be run again, with the same rules, candidates, scores and targets that were put off", () => {
    const writer = createFrameWriter();
    const producer = encodeProducer({ region: "eu", instance: "eu-1", boot: "life-1" });
    fc.assert(
      fc.property(
        rules,
        asked,
        labels,
        fc.boolean(),
        reach,
        views,
        (all, ask, marks, hasTools, { isDown, isBound }, seen) => {
          const snapshot = create(SnapshotSchema, {
            region: "eu",
            providers: [{ id: "p1" }, { id: "p2" }],
            targets: [
              { id: "a", provider: "p1", model: "m" },
              { id: "b", provider: "p1", model: "m" },
              { id: "c", provider: "p2", model: "m" },
            ],
            models: [{ id: "small", routes: [{ target: "a" }, { target: "b", weight: 3 }, { target: "c" }] }],
            rules: all ?? [],
          });
          const tables = indexSnapshot(snapshot);
          const grant = create(KeyGrantSchema, {
            keyId: "abcdefghij27",
            organisation: "acme",
            models: ["*"],
            labels: marks,
          });
          const eventId = createEventId(ask.arrivedAtMs);
          const findRejection = ({ id }: { id: string }) => (isDown && id === "b" ? "CREDENTIAL_MISSING" : undefined);
          // A little later than it arrived, as routers decide.
          const nowMs = ask.arrivedAtMs + 3;
          const decided = decide(tables, {
            grant,
            model: "small",
            eventId,
            nowMs,
            asked: ask,
            hasTools,
            findRejection,
          });
          if (decided.kind === "denial") return;
          const candidates = decided.candidates.filter(({ provider }) => !isBound || provider.id === "p1");
          const first = siftPlan({ ...decided, candidates }, 0, ({ target }) => seen[target.id as keyof typeof seen]);
          if (first.kind === "denial") return;

          const caller = create(CallerSchema, {
            identity: { case: "keyId", value: grant.keyId },
            organisation: "acme",
          });
          const call = { ...ask, eventId, candidates: 1, endUser: "", surface: "openai" } as unknown as ChatCall;
          const pinned = {
            snapshotVersion: 1n,
            snapshotDigest: new Uint8Array(32),
            keyringVersion: 1n,
            tables,
          } as never;
          const admission: Admission = { kind: "admission", caller, grant, hasTools, plan: first, limits: [], pinned };
          const started = toStartedCall(call, call, admission);
          openFrame(writer, FrameType.FACTS);
          writeCallFacts(
            writer,
            started,
            { kind: OutcomeKind.ANSWERED, endedAtMs: nowMs, attempts: [] },
            producer,
            1,
            1,
          );
          const { record } = decodeFacts(Buffer.from(writer.bytes.subarray(FRAME_HEAD_BYTES, writer.at)));
          const { act, recordId } = fromBinary(RecordSchema, fromBinary(AuditRecordedSchema, record).record);
          if (act.case !== "call") throw new Error("no call");
          const { caller: who, startedAt, ruling, ...rest } = act.value;

          const again = decideAgain(tables, {
            ...rest,
            eventId: recordId,
            caller: who ?? create(CallerSchema),
            facts: ruling?.facts,
            arrivedAtMs: startedAt === undefined ? 0 : timestampMs(startedAt),
          }) as Plan;

          expect(again.kind).toBe("plan");
          expect(toCandidates(again)).toEqual(act.value.candidates);
          expect(again.rules?.matched ?? []).toEqual(ruling?.matched ?? []);
          expect(again.rules?.priorityClass ?? PriorityClass.UNSPECIFIED).toBe(ruling?.priorityClass ?? 0);
          expect(again.rules?.outputCap).toBe(first.rules?.outputCap);
        },
      ),
      { numRuns: 200 },
    );
  });
});
