/** What is known of a model by its name: of those that Google names "gemini-2.5-flash" and the like. */
export interface ModelTraits {
  /** How reasoning is bounded: by a number of tokens (2.5), by a level (3 and later), not at all (before). */
  readonly reasoning: "budget" | "level" | "none";
  /** Whether it refuses the use of a tool that has no signature (3 and later). */
  readonly wantsSignatures: boolean;
}

const LATEST: ModelTraits = { reasoning: "level", wantsSignatures: true };

/** Reads a model's generation out of its name. Names without a number ("gemini-flash-latest") are taken for the newest. */
export function readTraits(model: string): ModelTraits {
  const [, major, minor] = /gemini-(\d{1,3})(?:\.(\d{1,3}))?/.exec(model) ?? [];
  if (major === undefined) return model.includes("gemini-") ? LATEST : { reasoning: "level", wantsSignatures: false };
  const generation = Number(major) * 1000 + Number(minor ?? 0);
  if (generation >= 3000) return LATEST;
  return { reasoning: generation >= 2005 ? "budget" : "none", wantsSignatures: false };
}
