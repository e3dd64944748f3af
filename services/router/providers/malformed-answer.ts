import type { AnswerReading } from "./dialect.ts";

/** What comes of an answer in one piece that is none: another target may do better. `state` is for people, as in ProviderFailure. */
export function malformedAnswer(state: string): AnswerReading {
  return { failure: { reason: "PROVIDER_FAILED", state, elsewhere: true }, textBytes: 0 };
}
