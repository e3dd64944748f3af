import { fromBinary, type Message, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  type ExplainRequest,
  type ExplainResponseSchema,
  type ExplainService,
  RuleAnswer,
} from "../../gen/weir/policy/v1/explain_service_pb.ts";
import { SnapshotSchema } from "../../gen/weir/policy/v1/snapshot_pb.ts";
import { Operation } from "../../gen/weir/type/v1/usage_pb.ts";
import type { Clock } from "../shared/clock.ts";
import type { Pool } from "../shared/database/pool.ts";
import { toCandidates } from "../shared/decision/candidates.ts";
import { findGrantDenial } from "../shared/decision/check-grant.ts";
import { type DescribedCall, decide } from "../shared/decision/decide.ts";
import { explainRules, type RuleExplanation } from "../shared/decision/explain-rules.ts";
import type { Denial, Plan } from "../shared/decision/plan.ts";
import type { RuleTimeouts } from "../shared/decision/planned-rule.ts";
import { decideAgain, describeRecorded, type RecordedCall } from "../shared/decision/recorded-call.ts";
import { type DecisionTables, indexSnapshot } from "../shared/decision/tables.ts";
import { WeirError } from "../shared/errors/weir-error.ts";
import { createEventId } from "../shared/ids.ts";
import type { Catalogue } from "./distribution/catalogue.ts";
import { decodeGrant } from "./keys/grant.ts";
import { findSnapshot } from "./store/snapshots.ts";

/** What explanations are made with. */
export interface ExplainParts {
  readonly catalogue: Catalogue;
  /** For snapshots that are not the latest any more. */
  readonly pool: Pool;
  readonly clock: Clock;
}

/** Serves weir.policy.v1.ExplainService, with the code that routers decide by. */
export function createExplainService(parts: ExplainParts): ServiceImpl<typeof ExplainService> {
  const { catalogue, clock } = parts;
  return {
    async explain(request) {
      // Another instance may have published a moment ago.
      await catalogue.refreshIfReachable();
      const { keyring } = catalogue.getRegion(request.region);
      const snapshot = await getSnapshot(parts, request);
      const nowMs = request.arrivedAt === undefined ? clock.nowMs() : timestampMs(request.arrivedAt);
      const described = request.caller === undefined ? describe(parts, request, nowMs) : recall(request, nowMs);
      return {
        versions: {
          snapshotVersion: snapshot.version,
          snapshotDigest: snapshot.digest,
          keyringVersion: keyring?.version ?? 0n,
        },
        ...(described.kind === "denial"
          ? toDenied(described)
          : explain(catalogue, snapshot.tables, request, described)),
      };
    },
  };
}

interface ExplainedSnapshot {
  readonly version: bigint;
  readonly digest: Uint8Array;
  readonly tables: DecisionTables;
}

async function getSnapshot({ catalogue, pool }: ExplainParts, request: ExplainRequest): Promise<ExplainedSnapshot> {
  const { region, snapshotVersion } = request;
  const { snapshot: latest } = catalogue.getRegion(region);
  if (latest !== undefined && (snapshotVersion === 0n || snapshotVersion === latest.version)) return latest;
  const stored = snapshotVersion === 0n ? undefined : await findSnapshot(pool, region, snapshotVersion);
  if (stored === undefined) {
    const what = snapshotVersion === 0n ? "policy" : `snapshot ${snapshotVersion}`;
    throw new WeirError("NOT_FOUND", `Cannot explain: region "${region}" has no ${what}`, {
      facts: { region, version: String(snapshotVersion) },
    });
  }
  const { version, digest, content } = stored;
  return { version, digest, tables: indexSnapshot(fromBinary(SnapshotSchema, content)) };
}

/** A call as it is explained: described in full. */
interface Described {
  readonly kind: "described";
  /** What its record has of it, when it is a call of the past. */
  readonly recorded?: RecordedCall;
  readonly call: DescribedCall & Required<Pick<DescribedCall, "asked" | "hasTools">>;
}

function describe({ catalogue, clock }: ExplainParts, request: ExplainRequest, nowMs: number): Described | Denial {
  const { keyId, model, eventId, operation, streamed, facts } = request;
  const bytes = catalogue.keyring.tree.find(keyId);
  if (bytes === undefined) {
    const message = `Cannot accept key "${keyId}": the region does not know it`;
    return { kind: "denial", reason: "KEY_UNKNOWN", message, facts: { key_id: keyId } };
  }
  const grant = decodeGrant(bytes);
  if (facts !== undefined && facts.labels.length > 0) {
    grant.labels = Object.fromEntries(facts.labels.map(({ name, value }) => [name, value]));
  }
  const asked = {
    operation: operation || Operation.CHAT,
    streamed,
    maxOutputTokens: facts?.maxOutputTokens || undefined,
    requestBytes: Number(facts?.inputBytes ?? 0n),
    arrivedAtMs: nowMs,
  };
  // Of now, whenever the call is said to arrive: ids rise, and those that follow are of records.
  const event = eventId.toLowerCase() || createEventId(clock.nowMs());
  const call = { grant, model, eventId: event, nowMs, asked };
  return { kind: "described", call: { ...call, hasTools: facts?.hasTools ?? false } };
}

function recall(request: ExplainRequest, arrivedAtMs: number): Described {
  const { caller, eventId, model, operation, streamed, facts, candidates } = request;
  if (caller === undefined) throw new WeirError("INTERNAL", "Cannot explain: no caller was recorded");
  const recorded = {
    eventId: eventId.toLowerCase(),
    caller,
    model,
    operation,
    streamed,
    facts,
    arrivedAtMs,
    candidates,
  };
  return { kind: "described", recorded, call: describeRecorded(recorded) };
}

function explain(
  { keyring: { tree } }: Catalogue,
  tables: DecisionTables,
  { region }: ExplainRequest,
  { call, recorded }: Described,
): Exclude<MessageInitShape<typeof ExplainResponseSchema>, Message> {
  const isDisabled = (tenant: string): boolean => tree.find(`tenant:${tenant}`) !== undefined;
  const decision =
    recorded === undefined
      ? (findGrantDenial(call.grant, region, call.nowMs, isDisabled) ?? decide(tables, call))
      : decideAgain(tables, recorded);
  const { rules: applied } = decision;
  const isRuled = decision.kind === "plan" || applied !== undefined;
  const bearing = new Set(applied?.matched.map(({ rule }) => rule));
  return {
    ...(decision.kind === "denial" ? toDenied(decision) : toPlanned(decision)),
    rules: isRuled ? explainRules(tables.snapshot, call).map((rule) => toExplained(rule, bearing)) : [],
    outputCap: applied?.outputCap ?? 0n,
    ...(applied?.priorityClass !== undefined && { priorityClass: applied.priorityClass }),
    ...(applied?.timeouts !== undefined && { timeouts: toTimeouts(applied.timeouts) }),
  };
}

function toDenied({ reason, message }: Denial) {
  return { denied: reason, message };
}

function toPlanned(plan: Plan) {
  return { limits: plan.limits.map(({ id }) => id), candidates: toCandidates(plan) };
}

function toExplained({ rule, effect, answer, because }: RuleExplanation, bearing: ReadonlySet<string>) {
  if (answer === "not matched") return { rule, effect, answer: RuleAnswer.NOT_MATCHED, because };
  if (!bearing.has(rule)) return { rule, effect, answer: RuleAnswer.NOT_REACHED, because };
  return { rule, effect, answer: answer === "failed" ? RuleAnswer.FAILED : RuleAnswer.MATCHED, because };
}

function toTimeouts({ connectMs, firstTokenMs, idleMs, totalMs }: RuleTimeouts) {
  return {
    ...(connectMs !== undefined && { connect: durationFromMs(connectMs) }),
    ...(firstTokenMs !== undefined && { firstToken: durationFromMs(firstTokenMs) }),
    ...(idleMs !== undefined && { idle: durationFromMs(idleMs) }),
    ...(totalMs !== undefined && { total: durationFromMs(totalMs) }),
  };
}
