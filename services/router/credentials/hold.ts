import { createHash } from "node:crypto";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type CredentialSet,
  CredentialSetSchema,
  type SealedCredential,
  SealedCredentialSchema,
} from "../../../gen/weir/policy/v1/credential_service_pb.ts";
import { openCredential } from "../../shared/credential/envelope.ts";
import type { KeyUnwrapper } from "../../shared/credential/key-wrapper.ts";
import { toSecret } from "../../shared/credential/secret.ts";
import { WeirError } from "../../shared/errors/weir-error.ts";
import type { NoteVerifier } from "../../shared/note/note.ts";
import { snapshotDigest } from "../../shared/snapshot/digest.ts";
import type { SignedHead } from "../../shared/snapshot/head.ts";
import { mapInSteps, runInSlices } from "../../shared/snapshot/slices.ts";
import { type RefusalStage, verifyHead } from "../../shared/snapshot/verify.ts";
import type { Credential, FindCredential, HeldCredential } from "./credential.ts";

/** What a hold is made of. */
export interface CredentialHoldOptions {
  /** Keys that sign heads. */
  readonly trust: Iterable<NoteVerifier>;
  /** Id of the region. */
  readonly region: string;
  /** Opens what was sealed for the region. */
  readonly unwrapper: KeyUnwrapper;
  /** Ends the openings. */
  readonly signal: AbortSignal;
}

/** A set as it travels and as it lies on disk: sealed. */
export interface SealedSet {
  readonly content: Uint8Array;
  readonly note: Uint8Array;
}

/** What became of a set that was offered. */
export type SetVerdict =
  | { readonly verdict: "applied" | "unchanged"; readonly head: SignedHead }
  | { readonly verdict: "refused"; readonly stage: RefusalStage; readonly reasons: readonly string[] };

interface Opened {
  readonly version: bigint;
  /** SHA-256 of the envelope. */
  readonly digest: string;
  readonly credential: Credential;
}

interface Held extends SealedSet {
  readonly head: SignedHead<"credentials">;
  readonly credentials: readonly SealedCredential[];
}

/** How long one key may take to be unwrapped. */
const OPEN_TIMEOUT_MS = 5_000;
const CREDENTIALS_LIMIT = 256;
const NOTHING: FindCredential = () => undefined;

/**
 * Holds a region's credentials: sealed as they came, and opened in memory. A set is taken only with a head that a trusted key signed, for
 * this region, newer than what is held. A credential in it that does not open leaves the one before in use: a mistake in sealing must not
 * stop a provider. One that is no longer in the set is let go of.
 */
export class CredentialHold {
  readonly #options: CredentialHoldOptions;
  readonly #listeners = new Set<() => void>();
  #held: Held | undefined;
  #opened: ReadonlyMap<string, Opened> = new Map();
  #refusals: ReadonlyMap<string, string> = new Map();
  #find = NOTHING;
  #isLoaded = false;
  /** One offer after the other: an older one must not overtake a newer one while it is opened. */
  #offering: Promise<unknown> = Promise.resolve();

  constructor(options: CredentialHoldOptions) {
    this.#options = options;
  }

  /** What new calls use. Another function after each change. */
  current(): FindCredential {
    return this.#find;
  }

  /** Whether it is known what the region is to have, be it nothing. */
  get isLoaded(): boolean {
    return this.#isLoaded;
  }

  /** Whether something in the set does not open (yet). */
  get hasRefusals(): boolean {
    return this.#refusals.size > 0;
  }

  /** The set that is held. */
  get sealed(): (SealedSet & { readonly version: bigint; readonly digest: Uint8Array }) | undefined {
    const held = this.#held;
    return held && { content: held.content, note: held.note, version: held.head.version, digest: held.head.digest };
  }

  /** Each credential of the set, with what is done with it. */
  list(): HeldCredential[] {
    return (this.#held?.credentials ?? []).map(({ organisation, name }) => {
      const key = toKey(organisation, name);
      const version = this.#opened.get(key)?.version ?? 0n;
      return { organisation, name, version, refusal: this.#refusals.get(key) ?? "" };
    });
  }

  /** Calls `listener` after each change. Returns how to stop it. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Takes a set that came by any road, opens it, and swaps it in. Never throws. */
  offer(set: SealedSet): Promise<SetVerdict> {
    return this.#inTurn(() => this.#take(set));
  }

  /** Tries again to open what did not open. Never throws. */
  reopen(): Promise<void> {
    return this.#inTurn(async () => {
      const held = this.#held;
      if (held !== undefined && this.hasRefusals) await this.#open(held);
    });
  }

  /** Policy says that the region never had a credential. */
  confirmNone(): void {
    if (this.#isLoaded) return;
    this.#isLoaded = true;
    this.#tell();
  }

  #inTurn<T>(act: () => Promise<T>): Promise<T> {
    const done = this.#offering.then(act);
    this.#offering = done.catch(() => undefined);
    return done;
  }

  async #take({ content, note }: SealedSet): Promise<SetVerdict> {
    const { trust, region } = this.#options;
    const held = this.#held?.head;
    const verified = verifyHead(note, "credentials", { trust, region, ...(held && { held }) });
    if (verified.verdict !== "newer") return verified;
    const { head } = verified;
    if (Buffer.compare(snapshotDigest(content), head.digest) !== 0) {
      return refuse("DIGEST", "its bytes have another digest");
    }
    let set: CredentialSet;
    try {
      set = fromBinary(CredentialSetSchema, content);
    } catch {
      return refuse("DECODE", "its bytes are no set of credentials");
    }
    const problem = findProblem(set, head);
    if (problem !== undefined) return refuse("CONSTRAINT", problem);
    await this.#open({ head, note, content, credentials: set.credentials });
    return { verdict: "applied", head };
  }

  async #open(held: Held): Promise<void> {
    const opened = new Map<string, Opened>();
    const refusals = new Map<string, string>();
    // All at once, since each may be a question to a service far away; but begun in slices, for to open 256 takes 150 ms here.
    const openings = await runInSlices(
      mapInSteps(held.credentials, async (sealed) => {
        const key = toKey(sealed.organisation, sealed.name);
        const before = this.#opened.get(key);
        try {
          opened.set(key, await this.#openOne(sealed, before));
        } catch (error) {
          if (before !== undefined) opened.set(key, before);
          refusals.set(key, error instanceof Error ? error.message.slice(0, 400) : "it can't be opened");
        }
      }),
    );
    await Promise.all(openings);
    const isSame =
      [...opened].every(([key, one]) => this.#opened.get(key) === one) && opened.size === this.#opened.size;
    this.#held = held;
    this.#opened = opened;
    this.#refusals = refusals;
    this.#isLoaded = true;
    // The same function as long as all credentials are the same: whoever made something of them need not make it anew.
    if (!isSame) this.#find = (organisation, name) => opened.get(toKey(organisation, name))?.credential;
    this.#tell();
  }

  async #openOne(sealed: SealedCredential, before: Opened | undefined): Promise<Opened> {
    const { name, version, origins } = sealed;
    const digest = createHash("sha256").update(toBinary(SealedCredentialSchema, sealed)).digest("hex");
    if (before?.digest === digest) return before;
    if (before !== undefined && version < before.version) {
      const state = `it is older than version ${before.version}, which is in use`;
      throw new WeirError("CREDENTIAL_REFUSED", `Cannot use credential "${name}" version ${version}: ${state}`);
    }
    const signal = AbortSignal.any([this.#options.signal, AbortSignal.timeout(OPEN_TIMEOUT_MS)]);
    const bytes = await openCredential(sealed, this.#options.unwrapper, signal);
    const secret = toSecret(bytes.toString("utf8"));
    bytes.fill(0);
    if (secret === undefined) {
      const state = "it is empty, or not of printable ASCII";
      throw new WeirError("CREDENTIAL_REFUSED", `Cannot use credential "${name}" version ${version}: ${state}`);
    }
    return { version, digest, credential: { secret, origins } };
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}

function findProblem(set: CredentialSet, head: SignedHead): string | undefined {
  const { credentials, region, version } = set;
  if (region !== head.region || version !== head.version) return "its content is of another region or version";
  if (credentials.length > CREDENTIALS_LIMIT) return `it has more than ${CREDENTIALS_LIMIT} credentials`;
  if (credentials.some((one) => one.region !== region)) return "a credential in it is of another region";
  const keys = new Set(credentials.map(({ organisation, name }) => toKey(organisation, name)));
  return keys.size === credentials.length ? undefined : "a credential stands in it twice";
}

function toKey(organisation: string, name: string): string {
  return `${organisation}/${name}`;
}

function refuse(stage: RefusalStage, reason: string): SetVerdict {
  return { verdict: "refused", stage, reasons: [reason] };
}
