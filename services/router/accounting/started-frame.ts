import { create } from "@bufbuild/protobuf";
import { PriceSchema } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { type Caller, CallerSchema } from "../../../gen/weir/type/v1/caller_pb.ts";
import { CandidateSchema } from "../../../gen/weir/type/v1/decision_pb.ts";
import { type Meter, type Operation, PinnedVersionsSchema } from "../../../gen/weir/type/v1/usage_pb.ts";
import type { BilledTarget, StartedCall } from "./started-call.ts";

/**
 * A started call as JSON. It is written before each dispatch, so the parts that repeat from call to call (caller, targets,
 * digest) are made into text once. Numbers that may be beyond 2^53 are text.
 */
export function encodeStarted(started: StartedCall): Buffer {
  const { versions, candidates } = started;
  const scored = candidates.map(({ target, result }) =>
    result.case === "score"
      ? [target, result.value.priority, result.value.weight, Number(result.value.draw)]
      : [target, result.value ?? ""],
  );
  const rest = JSON.stringify({
    eventId: started.eventId,
    operation: started.operation,
    model: started.model,
    streamed: started.streamed,
    surface: started.surface,
    snapshotVersion: String(versions.snapshotVersion),
    keyringVersion: String(versions.keyringVersion),
    startedAtMs: started.startedAtMs,
    limits: started.limits,
    candidates: scored,
    requestBytes: started.requestBytes,
    maxOutputTokens: started.maxOutputTokens === undefined ? undefined : String(started.maxOutputTokens),
    answers: started.answers,
  });
  const targets = started.targets.map(toTargetText).join(",");
  const digest = toDigestText(versions.snapshotDigest);
  return Buffer.from(
    `{"v":1,"caller":${toCallerText(started.caller)},"targets":[${targets}],"snapshotDigest":"${digest}",${rest.slice(1)}`,
  );
}

/** Reads a started call that an earlier process wrote, perhaps of an older version. Throws when it cannot. */
export function decodeStarted(payload: Buffer): StartedCall {
  const written = JSON.parse(payload.toString()) as WrittenCall;
  if (written.v !== 1) throw new RangeError(`Cannot read started call: its form is ${written.v}, known is 1`);
  const { caller, targets, snapshotDigest, snapshotVersion, keyringVersion, candidates, maxOutputTokens, answers } =
    written;
  const { keyId, subject, step, ...tenant } = caller;
  return {
    eventId: written.eventId,
    caller: create(CallerSchema, {
      ...tenant,
      step: BigInt(step ?? "0"),
      identity: keyId === undefined ? { case: "subject", value: subject ?? "" } : { case: "keyId", value: keyId },
    }),
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
    limits: written.limits,
    candidates: candidates.map(([target, first, weight, draw]) =>
      create(CandidateSchema, {
        target,
        result:
          typeof first === "string"
            ? { case: "rejected", value: first }
            : { case: "score", value: { priority: first, weight: weight ?? 0, draw: BigInt(draw ?? 0) } },
      }),
    ),
    targets: targets.map(({ id, provider, model, prices, maxOutputTokens: most }) => ({
      id,
      provider,
      model,
      prices: prices.map(([meter, nanos]) => create(PriceSchema, { meter, nanosPerMillion: BigInt(nanos) })),
      maxOutputTokens: BigInt(most),
    })),
    requestBytes: written.requestBytes,
    ...(maxOutputTokens === undefined ? {} : { maxOutputTokens: BigInt(maxOutputTokens) }),
    ...(answers === undefined ? {} : { answers }),
  };
}

interface WrittenCall {
  readonly v: number;
  readonly caller: Partial<Record<"keyId" | "subject" | "step", string>> &
    Pick<Caller, "organisation" | "team" | "app" | "environment" | "runId" | "parentRunId" | "endUser">;
  readonly targets: readonly {
    id: string;
    provider: string;
    model: string;
    prices: [Meter, string][];
    maxOutputTokens: string;
  }[];
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

const toCallerText = rememberText(
  ({ identity, organisation, team, app, environment, runId, parentRunId, step, endUser }: Caller) =>
    JSON.stringify({
      ...(identity.case === undefined ? {} : { [identity.case]: identity.value }),
      organisation,
      team,
      app,
      environment,
      runId,
      parentRunId,
      step: String(step),
      endUser,
    }),
);

const toTargetText = rememberText(({ id, provider, model, prices, maxOutputTokens }: BilledTarget) =>
  JSON.stringify({
    id,
    provider,
    model,
    prices: prices.map(({ meter, nanosPerMillion }) => [meter, String(nanosPerMillion)]),
    maxOutputTokens: String(maxOutputTokens),
  }),
);

const toDigestText = rememberText((digest: Uint8Array) => Buffer.from(digest).toString("base64"));

/** Remembers the text of an object for as long as the object lives; callers and targets belong to a snapshot or keyring. */
function rememberText<T extends object>(toText: (value: T) => string): (value: T) => string {
  const texts = new WeakMap<T, string>();
  return (value) => {
    let text = texts.get(value);
    if (text === undefined) {
      text = toText(value);
      texts.set(value, text);
    }
    return text;
  };
}
