/** The word among `known` that was most likely meant by `word`: at most two letters, or a third of them, apart. */
export function findNearest(word: string, known: readonly string[]): string | undefined {
  // Longer ones are no misspelling of anything that we know, and their distance is dear to count.
  if (word.length > 64) return undefined;
  let nearest: string | undefined;
  let least = Math.max(2, Math.floor(word.length / 3)) + 1;
  for (const candidate of known) {
    const distance = countEdits(fold(word), fold(candidate));
    if (distance < least) {
      least = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

function fold(word: string): string {
  return word.replaceAll(/[-_ ]/g, "").toLowerCase();
}

/** Levenshtein's distance: how many letters must be put in, taken out or changed. */
function countEdits(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] as number) + 1, (next[j - 1] as number) + 1));
    }
    row = next;
  }
  return row[b.length] as number;
}
