import { type NoteSigner, signNote } from "../../shared/note/note.ts";
import { encodeHead, type SnapshotHead } from "../../shared/snapshot/head.ts";

/** Signs the head of a snapshot or keyring. The same head and key always give the same note (Ed25519, RFC 8032). */
export function signHead(head: SnapshotHead, signer: NoteSigner): Uint8Array {
  return signNote(encodeHead(head), signer);
}
