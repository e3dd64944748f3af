/** Figures of a distribution. */
export interface Distribution {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** The nearest-rank percentiles of values; all NaN of none. */
export function describe(values: readonly number[]): Distribution {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number): number => sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), max: at(1) };
}

/** One line of a table in Markdown. */
export function toRow(name: string, values: readonly number[]): string {
  const { count, p50, p99, max } = describe(values);
  return `| ${name} | ${count} | ${[p50, p99, max].map((ms) => ms.toFixed(1)).join(" | ")} |`;
}
