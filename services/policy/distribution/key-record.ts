import type { KeyChange } from "../../../gen/weir/audit/v1/record_pb.ts";
import type { OutboxFact } from "../../shared/database/outbox.ts";
import { createEventId } from "../../shared/ids.ts";
import { digestGrant } from "../keys/grant.ts";
import { createRecordFact } from "./facts.ts";
import type { MintedKeyring } from "./mint-keyring.ts";

/** A change of a key or tenant, for the record. */
export interface KeyAct {
  readonly change: KeyChange;
  readonly actor: string;
  readonly requestId: string;
  readonly organisation: string;
  /** Id of the key; empty for a change of a tenant. */
  readonly keyId: string;
  /** Path of the tenant; empty for a change of a key. */
  readonly tenant: string;
  readonly comment: string;
  /** The entry before and after, encoded; absent when there was none, or is none any more. */
  readonly before: Uint8Array | undefined;
  readonly after: Uint8Array | undefined;
}

/** The fact that a key or tenant was changed, and by which keyring. */
export function createKeyRecord(act: KeyAct, keyring: MintedKeyring, regions: readonly string[], at: Date): OutboxFact {
  const { before, after, organisation, ...value } = act;
  const { version, digest } = keyring;
  return createRecordFact({
    recordId: createEventId(at.getTime()),
    at,
    organisation,
    act: {
      case: "keyChange",
      value: {
        ...value,
        beforeDigest: toDigest(before),
        afterDigest: toDigest(after),
        keyrings: regions.map((region) => ({ region, version, digest })),
      },
    },
  });
}

function toDigest(entry: Uint8Array | undefined): Uint8Array {
  return entry === undefined ? new Uint8Array() : digestGrant(entry);
}
