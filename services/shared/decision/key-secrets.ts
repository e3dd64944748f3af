import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { KeyGrant } from "../../../gen/weir/policy/v1/snapshot_pb.ts";

/** A secret that a key is known by. */
export interface AcceptedSecret {
  /** SHA-256 of the whole key text. 32 bytes. */
  readonly sha256: Uint8Array;
  /** When it stops being good, milliseconds since 1970; Infinity when only the key itself ends. */
  readonly expiresAtMs: number;
}

/** The secrets of a key wherever its grant has them, in no order; none of a revoked key. */
export function listSecrets({ secretSha256s, secrets }: KeyGrant): readonly AcceptedSecret[] {
  const plain = secretSha256s.map((sha256) => ({ sha256, expiresAtMs: Number.POSITIVE_INFINITY }));
  const conditional = secrets.map(({ sha256, expiresAt }) => ({
    sha256,
    expiresAtMs: expiresAt === undefined ? Number.POSITIVE_INFINITY : timestampMs(expiresAt),
  }));
  return [...plain, ...conditional];
}
