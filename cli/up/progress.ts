/** Tells whoever started the mesh what is going on: one line each. */
export interface Progress {
  /** Something was done, and how long it took. */
  done(what: string, elapsedMs: number, detail?: string): void;
  /** Something worth knowing that is not an error: a fall-back, a leftover cleared, a child restarted. */
  note(text: string): void;
}

/** Prints progress to a stream (standard output of `weir up`). */
export function createPrintedProgress(stream: NodeJS.WritableStream): Progress {
  return {
    done(what, elapsedMs, detail = "") {
      stream.write(`  ${what.padEnd(30)} ${`${(elapsedMs / 1000).toFixed(1)} s`.padStart(7)}  ${detail}`.trimEnd());
      stream.write("\n");
    },
    note(text) {
      stream.write(`  note: ${text}\n`);
    },
  };
}

/** Says nothing; keeps the notes for a test to look at. */
export function createSilentProgress(): Progress & { readonly notes: string[] } {
  const notes: string[] = [];
  return { notes, done() {}, note: (text) => void notes.push(text) };
}
