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
  /** Resolves when what is on disk has been read and opened, as far as it opens. Never rejects. */
  readonly read: Promise<void>;
  /** What policy sent; empty for another source. */
  list(): HeldCredential[];
  /** Reads anew what changes without a word: files. */
  reread(): void;
  /** Calls `listener` after each change. */
  onChange(listener: () => void): void;
  /** Stops, and waits until what is to be kept is on disk. */
  close(): Promise<void>;
}
