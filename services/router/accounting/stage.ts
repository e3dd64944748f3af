import type { OpenEntry, SpooledFacts } from "./spool.ts";
import type { WireWriter } from "./wire-writer.ts";

/** An entry that waits for the write at the end of this turn of the event loop. */
export interface StagedEntry {
  /** Where it stands among the bytes of the turn. */
  readonly from: number;
  readonly to: number;
  /** What it says: that a call begins, what came of one, or, without either, a note that may be lost. */
  readonly open: OpenEntry | undefined;
  readonly facts: SpooledFacts | undefined;
}

/** What entries may take before they are written without waiting for the end of the turn: some hundred calls. */
const STAGE_BYTES = 256 * 1024;

/** The entries of one turn, side by side, as one write puts them into a file. */
export class Stage {
  #bytes = Buffer.allocUnsafeSlow(STAGE_BYTES);
  #size = 0;
  #entries: StagedEntry[] = [];

  /** Bytes that wait. */
  get sizeBytes(): number {
    return this.#size;
  }

  /** Whether so many bytes more have room. What is empty has room for any entry. */
  hasRoom(sizeBytes: number): boolean {
    return this.#size === 0 || this.#size + sizeBytes <= this.#bytes.length;
  }

  /** Puts the entry that stands in the writer behind the others. */
  add({ bytes, at }: WireWriter, open: OpenEntry | undefined, facts: SpooledFacts | undefined): void {
    const from = this.#size;
    const to = from + at;
    // A single one may be larger than what many may be together.
    if (to > this.#bytes.length) this.#bytes = Buffer.allocUnsafeSlow(to);
    bytes.copy(this.#bytes, from, 0, at);
    this.#size = to;
    this.#entries.push({ from, to, open, facts });
  }

  /** Takes all out. The bytes are good until the next `add`. */
  take(): { readonly bytes: Buffer; readonly entries: StagedEntry[] } {
    const bytes = this.#bytes.subarray(0, this.#size);
    const entries = this.#entries;
    this.#entries = [];
    this.#size = 0;
    return { bytes, entries };
  }
}
