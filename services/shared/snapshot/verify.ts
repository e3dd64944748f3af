import { create, mergeFromBinary } from "@bufbuild/protobuf";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { type Snapshot, SnapshotSchema } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { WeirError } from "../errors/weir-error.ts";
import { type NoteVerifier, openNote } from "../note/note.ts";
import { compileRules } from "../validation/compile-rules.ts";
import { getValidator } from "../validation/validator.ts";
import type { Bucket } from "./bucket.ts";
import { type KeyringTree, snapshotDigest } from "./digest.ts";
import { parseHead, type SignedHead, type SignedKind, type SnapshotHead } from "./head.ts";
import { findEntryProblem, Keyring } from "./keyring.ts";
import type { Steps } from "./slices.ts";

/** What this build understands beyond the first version. A head that requires anything else is refused. */
export const SUPPORTED_FEATURES: readonly string[] = ["rules"];

/** Where a snapshot or keyring was refused, in the order of the checks. */
export type RefusalStage =
  | "SIGNATURE"
  | "HEAD"
  | "KIND"
  | "REGION"
  | "STALE"
  | "VERSION"
  | "FEATURE"
  | "DIGEST"
  | "DECODE"
  | "CONSTRAINT"
  | "REFERENCE"
  | "RESIDENCY"
  | "CRASHED"
  | "TABLES"
  | "TRIAL";

/** Why it was refused. What ran before stays. */
export interface SnapshotRefusal {
  readonly verdict: "refused";
  readonly stage: RefusalStage;
  /** Each as a sentence, at most 16. */
  readonly reasons: readonly string[];
  /** The head, when its signature is good. */
  readonly head?: SignedHead;
}

/** It is what is held already: same version, same digest. */
export interface SnapshotUnchanged {
  readonly verdict: "unchanged";
  readonly head: SignedHead;
}

/** A snapshot that may be applied. */
export interface VerifiedSnapshot {
  readonly verdict: "verified";
  readonly head: SnapshotHead;
  readonly note: Uint8Array;
  readonly content: Uint8Array;
  readonly snapshot: Snapshot;
}

/** A keyring that may be applied. */
export interface VerifiedKeyring {
  readonly verdict: "verified";
  readonly head: SnapshotHead;
  readonly note: Uint8Array;
  readonly keyring: Keyring;
}

/** What is checked against. */
export interface VerifyContext {
  /** The keys that are trusted to sign heads; several while they are rotated. */
  readonly trust: Iterable<NoteVerifier>;
  /** Id of the region that this process serves. */
  readonly region: string;
  /** What is held; an older one is refused, and so is another one of the same version. Absent when nothing is held. */
  readonly held?: { readonly version: bigint; readonly digest: Uint8Array };
  /** Default `SUPPORTED_FEATURES`. */
  readonly features?: readonly string[];
}

const REASON_LIMIT = 16;
const keepsRules = compileRules(SnapshotSchema);

/**
 * Checks a snapshot that came by any road: signature, region, version, features, digest, form, references. Nothing but a
 * trusted signature is believed, and a signature alone is not enough.
 */
export function* verifySnapshot(
  note: Uint8Array,
  content: Uint8Array,
  context: VerifyContext,
): Steps<VerifiedSnapshot | SnapshotUnchanged | SnapshotRefusal> {
  const head = verifyHead(note, "snapshot", context);
  if (head.verdict !== "newer") return head;
  const refuse = refuseAfter(head.head);
  if (!equalBytes(snapshotDigest(content), head.head.digest))
    return refuse("DIGEST", ["its bytes have another digest"]);
  const snapshot = yield* decodeSnapshot(content);
  if (snapshot === undefined) return refuse("DECODE", ["its bytes are no snapshot"]);
  if (!keepsRules(snapshot)) return refuse("CONSTRAINT", describeViolations(snapshot));
  yield;
  if (snapshot.version !== head.head.version)
    return refuse("VERSION", ["its content has another version than its head"]);
  if (snapshot.region !== context.region) {
    return refuse("RESIDENCY", [`its content is for region "${snapshot.region}", must be "${context.region}"`]);
  }
  const dangling = findDanglingReferences(snapshot);
  if (dangling.length > 0) return refuse("REFERENCE", dangling);
  yield;
  return { verdict: "verified", head: head.head, note, content, snapshot };
}

/** So many bytes of a snapshot are decoded in a step. */
const DECODED_BYTES = 8_192;

/** Decodes a snapshot field by field: parts of a message one behind the other are that message. Undefined when it is none. */
function* decodeSnapshot(content: Uint8Array): Steps<Snapshot | undefined> {
  const snapshot = create(SnapshotSchema);
  try {
    const reader = new BinaryReader(content);
    let decoded = 0;
    while (decoded < content.length) {
      const [field, wireType] = reader.tag();
      reader.skip(wireType, field);
      if (reader.pos - decoded < DECODED_BYTES && reader.pos < content.length) continue;
      mergeFromBinary(SnapshotSchema, snapshot, content.subarray(decoded, reader.pos));
      decoded = reader.pos;
      yield;
    }
  } catch {
    return undefined;
  }
  return snapshot;
}

// In words: protovalidate says the same as the compiled rules, a hundred milliseconds later the first time.
function describeViolations(snapshot: Snapshot): string[] {
  const { violations, error } = getValidator().validate(SnapshotSchema, snapshot);
  return violations?.map((violation) => violation.toString()) ?? [error?.message ?? "it breaks a rule of its proto"];
}

/**
 * Checks a keyring: as `verifySnapshot`, over the entries that its pages or a change have made. What `before` has too, a keyring that
 * passed, is not looked at again.
 */
export function* verifyKeyring(
  note: Uint8Array,
  tree: KeyringTree,
  context: VerifyContext,
  before: Keyring = Keyring.EMPTY,
): Steps<VerifiedKeyring | SnapshotUnchanged | SnapshotRefusal> {
  const head = verifyHead(note, "keyring", context);
  if (head.verdict !== "newer") return head;
  const refuse = refuseAfter(head.head);
  if (!equalBytes(tree.digest(), head.head.digest)) return refuse("DIGEST", ["its entries have another digest"]);
  const problems: string[] = [];
  for (const { bucket, instead } of tree.bucketsApartFrom(before.tree)) {
    problems.push(...findBucketProblems(bucket, instead));
    if (problems.length >= REASON_LIMIT) break;
    yield;
  }
  if (problems.length > 0) return refuse("DECODE", problems);
  return { verdict: "verified", head: head.head, note, keyring: yield* before.advanceSteps(tree) };
}

function findBucketProblems(bucket: Bucket, known: Bucket): string[] {
  const problems: string[] = [];
  for (const entry of bucket.differingFrom(known)) {
    const problem = findEntryProblem(entry);
    if (problem !== undefined) problems.push(`entry "${entry.id}": ${problem}`);
  }
  return problems;
}

/** What a head is worth before its content was looked at. */
export type HeadVerdict<Kind extends SignedKind> =
  | { readonly verdict: "newer"; readonly head: SignedHead<Kind> }
  | SnapshotUnchanged
  | SnapshotRefusal;

/** Checks the head of anything that policy signs: signature, form, kind, region, version, features. Its digest is the caller's to check. */
export function verifyHead<Kind extends SignedKind>(
  note: Uint8Array,
  kind: Kind,
  context: VerifyContext,
): HeadVerdict<Kind> {
  let head: SignedHead;
  let stage: RefusalStage = "SIGNATURE";
  try {
    const { text } = openNote(note, context.trust);
    stage = "HEAD";
    head = parseHead(text);
  } catch (error) {
    if (!(error instanceof WeirError)) throw error;
    return { verdict: "refused", stage, reasons: [error.message] };
  }
  const refuse = refuseAfter(head);
  if (!isOfKind(head, kind)) return refuse("KIND", [`it is the head of a ${head.kind}, must be of a ${kind}`]);
  if (head.region !== context.region) {
    return refuse("REGION", [`it is for region "${head.region}", must be "${context.region}"`]);
  }
  const notNewer = compareWithHeld(head, context.held);
  if (notNewer !== undefined) return notNewer;
  const known = context.features ?? SUPPORTED_FEATURES;
  const lacking = head.features.filter((feature) => !known.includes(feature));
  if (lacking.length > 0) {
    return refuse(
      "FEATURE",
      lacking.map((feature) => `it requires the feature "${feature}", which this build lacks`),
    );
  }
  return { verdict: "newer", head };
}

function isOfKind<Kind extends SignedKind>(head: SignedHead, kind: Kind): head is SignedHead<Kind> {
  return head.kind === kind;
}

/** What is to be said of a head that is not newer than what is held; undefined when it is, or nothing is held. */
export function compareWithHeld(
  head: SignedHead,
  held: VerifyContext["held"],
): SnapshotUnchanged | SnapshotRefusal | undefined {
  if (held === undefined || head.version > held.version) return undefined;
  const refuse = refuseAfter(head);
  const { version, digest } = held;
  if (head.version < version)
    return refuse("STALE", [`version ${head.version} is older than ${version}, which is held`]);
  // Two contents under one version: the signer made a mistake or was misused, and only a person can say which.
  if (!equalBytes(head.digest, digest)) return refuse("VERSION", [`version ${version} is held with another digest`]);
  return { verdict: "unchanged", head };
}

function findDanglingReferences({ providers, targets, models }: Snapshot): string[] {
  const problems: string[] = [];
  const providerIds = new Set(providers.map(({ id }) => id));
  const targetIds = new Set(targets.map(({ id }) => id));
  if (providerIds.size !== providers.length) problems.push("two providers have the same id");
  if (targetIds.size !== targets.length) problems.push("two targets have the same id");
  if (new Set(models.map(({ id }) => id)).size !== models.length) problems.push("two models have the same id");
  for (const { id, provider, prices } of targets) {
    if (!providerIds.has(provider))
      problems.push(`target "${id}" names the provider "${provider}", which is not there`);
    if (new Set(prices.map(({ meter }) => meter)).size !== prices.length) {
      problems.push(`target "${id}" has two prices for one meter`);
    }
  }
  for (const { id, routes } of models) {
    for (const { target } of routes) {
      // Also the residency: what is not among the region's targets can't be reached from it.
      if (!targetIds.has(target)) problems.push(`model "${id}" leads to the target "${target}", which is not there`);
    }
  }
  return problems;
}

function refuseAfter(head: SignedHead): (stage: RefusalStage, reasons: readonly string[]) => SnapshotRefusal {
  return (stage, reasons) => ({ verdict: "refused", stage, reasons: reasons.slice(0, REASON_LIMIT), head });
}

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
