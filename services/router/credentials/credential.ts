/** A provider's credential as this router uses it. Never to be logged. */
export interface Credential {
  /** As it goes into headers. A string can't be zeroed: it is let go of when it is replaced, and there is this one only. */
  readonly secret: string;
  /** Where it may be sent: scheme, host and port. Empty means wherever the policy's providers are. */
  readonly origins: readonly string[];
}

/** Finds a credential by the organisation that operates the mesh and its name. Another function is another state of all credentials. */
export type FindCredential = (organisation: string, name: string) => Credential | undefined;

/** What this router does with one credential, without its secret. */
export interface HeldCredential {
  readonly organisation: string;
  readonly name: string;
  /** Version that it uses; 0 when none. */
  readonly version: bigint;
  /** Why it does not use the version that it was sent; empty when it does. */
  readonly refusal: string;
}

/** Where this router has its credentials from. */
export interface CredentialSource {
  readonly kind: "policy" | "files" | "none";
  /** What new calls use. */
  current(): FindCredential;
  /** Whether it is known what this router is to have, be it nothing. */
  isLoaded(): boolean;
  /** What policy sent; empty for another source. */
  list(): HeldCredential[];
  /** Reads anew what changes without a word: files. */
  reread(): void;
  /** Calls `listener` after each change. */
  onChange(listener: () => void): void;
  /** Stops, and waits until what is to be kept is on disk. */
  close(): Promise<void>;
}

/** Printable ASCII without spaces: what can stand in a header. */
const SECRET = /^[\x21-\x7e]{1,8192}$/;

/**
 * A secret from the text of a file or an envelope: without white space around it, a JSON object (a credential of several parts) without any
 * between its parts. Undefined when it is empty or can't stand in a header.
 */
export function toSecret(text: string): string | undefined {
  const secret = compact(text.trim());
  return SECRET.test(secret) ? secret : undefined;
}

function compact(secret: string): string {
  if (!secret.startsWith("{")) return secret;
  try {
    return JSON.stringify(JSON.parse(secret));
  } catch {
    // Whose credential it is knows what it must be; the parser's words would quote it.
    return secret;
  }
}
