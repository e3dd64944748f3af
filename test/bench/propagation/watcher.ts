import type { DigestedEntry } from "../../../services/shared/snapshot/bucket.ts";
import { LightWatch, type LightWatchOptions } from "./light-watch.ts";
import type { VerifiedKeyring, VerifiedKeyrings } from "./verified-keyrings.ts";

/** What a watcher says. */
export interface WatcherListener {
  /** The first message came: policy has taken the connection on. */
  onTakenOn(): void;
  /** A keyring was received whole and verified. */
  onVerified(keyring: VerifiedKeyring): void;
  /** A heartbeat came, which names the latest keyring. */
  onHeartbeat(keyringVersion: bigint): void;
  /** It lost its watch, or what came does not verify. */
  onFailed(error: Error): void;
}

/** One light watcher: follows the keyring and verifies each version; pages of the snapshot pass by unread. */
export class Watcher {
  readonly #watch: LightWatch;
  readonly #verified: VerifiedKeyrings;
  readonly #listener: WatcherListener;
  #ids: string[] = [];
  #entries: DigestedEntry[] = [];
  #removedIds: readonly string[] = [];
  #base: bigint | undefined;
  #isTakenOn = false;

  constructor(
    options: Omit<LightWatchOptions, "onMessage" | "onLost">,
    verified: VerifiedKeyrings,
    listener: WatcherListener,
  ) {
    this.#verified = verified;
    this.#listener = listener;
    this.#watch = new LightWatch({
      ...options,
      onMessage: (bytes) => {
        try {
          this.#take(bytes);
        } catch (error) {
          listener.onFailed(error as Error);
        }
      },
      onLost: (error) => listener.onFailed(error),
    });
  }

  /** Bytes of messages that came so far. */
  get bytes(): number {
    return this.#watch.bytes;
  }

  /** Hangs up. */
  close(): void {
    this.#watch.close();
  }

  #take(bytes: Buffer): void {
    if (!this.#isTakenOn) this.#listener.onTakenOn();
    this.#isTakenOn = true;
    const { id, piece } = this.#verified.decode(bytes);
    if (piece.case === "keyringPage") {
      if (piece.value.index === 0) this.#forget();
      this.#ids.push(id);
      this.#entries.push(...piece.value.entries);
    } else if (piece.case === "keyringChange") {
      this.#forget();
      this.#ids.push(id);
      this.#base = piece.value.baseVersion;
      this.#entries = piece.value.changed;
      this.#removedIds = piece.value.removedIds;
    } else if (piece.case === "heartbeat") {
      this.#listener.onHeartbeat(piece.value.keyringVersion);
    } else if (piece.case === "head" && this.#ids.length > 0) {
      this.#ids.push(id);
      const changes = { entries: this.#entries, removedIds: this.#removedIds };
      const keyring = this.#verified.finish(this.#ids, this.#base, changes, piece.value);
      this.#forget();
      this.#listener.onVerified(keyring);
    }
  }

  #forget(): void {
    this.#ids = [];
    this.#entries = [];
    this.#removedIds = [];
    this.#base = undefined;
  }
}
