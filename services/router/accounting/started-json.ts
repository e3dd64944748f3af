import { create } from "@bufbuild/protobuf";
import { PriceSchema } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { type Caller, CallerSchema } from "../../../gen/weir/type/v1/caller_pb.ts";
import { type Meter, type Operation, PinnedVersionsSchema } from "../../../gen/weir/type/v1/usage_pb.ts";
import type { BilledTarget, StartedCall } from "./started-call.ts";

/** The first byte of a started call as JSON. */
export const FORM_JSON = 0x7b;

/**
 * Reads a started call as routers wrote it up to November 2026: as JSON, numbers that may be beyond 2^53 as text. Nothing is
 * written so any more. Throws when it cannot.
 */
export function decodeStartedJson(payload: Uint8Array): StartedCall {
  const written = JSON.parse(Buffer.from(payload).toString()) as WrittenCall;
  if (written.v !== 1) throw new RangeError(`Cannot read started call: its form is ${written.v}, known is 1`);
  const { caller, snapshotDigest, snapshotVersion, keyringVersion, candidates, maxOutputTokens, answers } = written;
  const { keyId, subject, step, endUser, ...tenant } = caller;
  const targets = written.targets.map(toTarget);
  return {
    eventId: written.eventId,
    caller: create(CallerSchema, {
      ...tenant,
      step: BigInt(step ?? "0"),
      identity: keyId === undefined ? { case: "subject", value: subject ?? "" } : { case: "keyId", value: keyId },
    }),
    endUser,
    operation: written.operation,
    model: written.model,
    streamed: written.streamed,
    surface: written.surface,
    versions: create(PinnedVersionsSchema, {
      snapshotVersion: BigInt(snapshotVersion),
      snapshotDigest: new Uint8Array(Buffer.from(snapshotDigest, "base64")),
      keyringVersion: BigInt(keyringVersion),
    }),
    startedAtMs: written.startedAtMs,
    limits: written.limits.map((id) => ({ id })),
    candidates: candidates.flatMap(([id, priority, weight, draw]) => {
      const target = targets.find((other) => other.id === id);
      return typeof priority === "string" || target === undefined
        ? []
        : [{ target, priority, weight: weight ?? 0, draw: draw ?? 0 }];
    }),
    rejected: candidates.flatMap(([id, reason]) => (typeof reason === "string" ? [{ target: { id }, reason }] : [])),
    requestBytes: written.requestBytes,
    ...(maxOutputTokens === undefined ? {} : { maxOutputTokens: BigInt(maxOutputTokens) }),
    ...(answers === undefined ? {} : { answers }),
  };
}

function toTarget({ id, provider, model, prices, maxOutputTokens }: WrittenTarget): BilledTarget {
  return {
    id,
    provider,
    model,
    prices: prices.map(([meter, nanos]) => create(PriceSchema, { meter, nanosPerMillion: BigInt(nanos) })),
    maxOutputTokens: BigInt(maxOutputTokens),
  };
}

interface WrittenTarget {
  readonly id: string;
  readonly provider: string;
  readonly model: string;
  readonly prices: readonly [Meter, string][];
  readonly maxOutputTokens: string;
}

interface WrittenCall {
  readonly v: number;
  readonly caller: Partial<Record<"keyId" | "subject" | "step", string>> &
    Pick<Caller, "organisation" | "team" | "app" | "environment" | "runId" | "parentRunId" | "endUser">;
  readonly targets: readonly WrittenTarget[];
  readonly snapshotDigest: string;
  readonly eventId: string;
  readonly operation: Operation;
  readonly model: string;
  readonly streamed: boolean;
  readonly surface: string;
  readonly snapshotVersion: string;
  readonly keyringVersion: string;
  readonly startedAtMs: number;
  readonly limits: readonly string[];
  readonly candidates: readonly [string, string | number, number?, number?][];
  readonly requestBytes: number;
  readonly maxOutputTokens?: string;
  readonly answers?: number;
}
