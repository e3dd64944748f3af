import { WeirError } from "../errors/weir-error.ts";

/** The two that make a region's policy. */
export type HeadKind = "snapshot" | "keyring";

/** All that has a signed head; the words stand in its first line. */
export type SignedKind = HeadKind | "credentials";

/** What the text of a signed head says. See the comment at weir.policy.v1.SnapshotService. */
export interface SignedHead<Kind extends SignedKind = SignedKind> {
  readonly kind: Kind;
  /** Id of the region: a head of another region never applies. */
  readonly region: string;
  /** Version within the region and kind, from 1. */
  readonly version: bigint;
  /** SHA-256, 32 bytes; over what is said in `digest.ts`. */
  readonly digest: Uint8Array;
  /** Features that a router must understand to apply it, sorted. Empty for none. */
  readonly features: readonly string[];
  /** When policy signed it, to the millisecond. Never decides anything: order comes from the version. */
  readonly issuedAt: Date;
}

/** The head of a snapshot or keyring. */
export type SnapshotHead = SignedHead<HeadKind>;

const REGION = /^[a-z0-9][a-z0-9-]{0,31}$/;
const FEATURE = /^[a-z][a-z0-9-]{0,62}$/;
const FEATURE_LIMIT = 64;
/** A head with 64 features of the longest name stays below it. */
const TEXT_LIMIT = 8192;
const MAX_VERSION = 2n ** 63n - 1n;
const LINES =
  /^weir\/(snapshot|keyring|credentials)\/([a-z0-9-]+)\nversion ([1-9][0-9]{0,18})\ndigest ([A-Za-z0-9+/]{43}=)\nfeatures (-|[a-z0-9,-]+)\nissued ([0-9TZ:.-]+)\n$/;

/**
 * Writes a head as the text of a note, to be signed with `signNote`. The same head always gives the same text. Throws
 * ARGUMENT_INVALID for what `parseHead` would refuse.
 */
export function encodeHead(head: SignedHead): string {
  const { kind, region, version, digest, issuedAt } = head;
  const features = [...head.features].sort();
  const problem = findProblem({ ...head, features });
  if (problem !== undefined) throw new WeirError("ARGUMENT_INVALID", `Cannot write head: ${problem}`);
  return [
    `weir/${kind}/${region}`,
    `version ${version}`,
    `digest ${Buffer.from(digest).toString("base64")}`,
    `features ${features.length === 0 ? "-" : features.join(",")}`,
    `issued ${issuedAt.toISOString()}`,
    "",
  ].join("\n");
}

/**
 * Reads the text of a head. The text may come from anywhere, also when its signature is good: there is exactly one text for
 * each head, and anything else throws SNAPSHOT_REFUSED.
 */
export function parseHead(text: string): SignedHead {
  const match = text.length <= TEXT_LIMIT ? LINES.exec(text) : null;
  if (match === null) throw refuse("it does not have the five lines of a head");
  const [, kind, region, version, digest, features, issued] = match as unknown as [string, SignedKind, ...string[]];
  const head: SignedHead = {
    kind,
    region: region as string,
    version: BigInt(version as string),
    digest: new Uint8Array(Buffer.from(digest as string, "base64")),
    features: features === "-" ? [] : (features as string).split(","),
    issuedAt: new Date(issued as string),
  };
  const problem = findProblem(head);
  if (problem !== undefined) throw refuse(problem);
  // Base64 has spare bits and times have several spellings; only the one text that we would write is a head.
  if (encodeHead(head) !== text) throw refuse("it is not written the one way that a head is written");
  return head;
}

function findProblem({ kind, region, version, digest, features, issuedAt }: SignedHead): string | undefined {
  if (kind !== "snapshot" && kind !== "keyring" && kind !== "credentials") return "its kind is unknown";
  if (!REGION.test(region)) return "its region is not an id";
  if (version < 1n || version > MAX_VERSION) return `its version is ${version}, must be from 1 to ${MAX_VERSION}`;
  if (digest.length !== 32) return `its digest has ${digest.length} bytes, must have 32`;
  if (features.length > FEATURE_LIMIT) return `it names ${features.length} features, more than ${FEATURE_LIMIT}`;
  if (!features.every((feature) => FEATURE.test(feature))) return "a feature's name is malformed";
  if (new Set(features).size !== features.length) return "it names a feature twice";
  const issuedMs = issuedAt.getTime();
  // Years beyond 9999 are written with a sign, which RFC 3339 does not have.
  if (!(issuedMs >= 0 && issuedMs < 253_402_300_800_000)) return "its time of issue is not a time";
  return undefined;
}

function refuse(state: string): WeirError {
  return new WeirError("SNAPSHOT_REFUSED", `Cannot read head: ${state}`, { facts: { stage: "HEAD" } });
}
