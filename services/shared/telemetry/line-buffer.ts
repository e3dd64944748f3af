/** From this length on lines are written without waiting for the turn's end, so that a burst takes bounded memory. */
const FULL_LENGTH = 64 * 1024;

/**
 * Gathers the lines of a turn of the event loop and writes them as one, at the turn's end: a burst of a thousand lines is one
 * system call, and nobody who logs waits for it. What is gathered is written at once by `flushSync`: on a fatal line, and when
 * the process exits. A process that is killed loses the lines of its last turn.
 */
export class LineBuffer {
  readonly #write: (text: string) => void;
  #text = "";

  /** `write` takes one or more whole lines. */
  constructor(write: (text: string) => void) {
    this.#write = write;
  }

  write(line: string): void {
    if (this.#text === "") setImmediate(() => this.flushSync());
    this.#text += line;
    if (this.#text.length >= FULL_LENGTH) this.flushSync();
  }

  /** Writes what is gathered, now. The logger calls it after a fatal line. */
  flushSync(): void {
    const text = this.#text;
    if (text === "") return;
    this.#text = "";
    this.#write(text);
  }
}
