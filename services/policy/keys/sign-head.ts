import { WeirError } from "../../shared/errors/weir-error.ts";
import { type NoteSigner, openNote, parseVerifierKey, signNote } from "../../shared/note/note.ts";
import { encodeHead, type SignedHead } from "../../shared/snapshot/head.ts";

/** Signs the head of a snapshot, a keyring or a set of credentials. The same head and key always give the same note (Ed25519, RFC 8032). */
export function signHead(head: SignedHead, signer: NoteSigner): Uint8Array {
  return signNote(encodeHead(head), signer);
}

/** Whether a head bears this signer's signature: one by an older key is to be signed anew. */
export function isSignedBy(head: Uint8Array, signer: NoteSigner): boolean {
  try {
    openNote(head, [parseVerifierKey(signer.verifierKey)]);
    return true;
  } catch (error) {
    if (error instanceof WeirError && error.reason === "PROOF_REFUSED") return false;
    throw error;
  }
}
