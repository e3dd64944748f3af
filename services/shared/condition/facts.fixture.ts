import type { Facts } from "./facts.ts";

/** A Sunday, in summer: 2026-06-14T22:30:05.250Z, which is Monday in Berlin. */
const SAMPLE_NOW_MS = Date.UTC(2026, 5, 14, 22, 30, 5, 250);

/** What a call of the search app of acme's web team says. For tests. */
export function sampleFacts(changes: Partial<Facts> = {}): Facts {
  return {
    region: "eu",
    caller: {
      organisation: "acme",
      team: "web",
      app: "search",
      environment: "production",
      keyId: "abcdefghij27",
      labels: { tier: "gold", agent: "planner", quota: "12", odd: "x y" },
    },
    model: "gpt-5-mini",
    operation: "chat",
    streamed: true,
    maxOutputTokens: 500,
    inputBytes: 4_000,
    hasTools: false,
    nowMs: SAMPLE_NOW_MS,
    ...changes,
  };
}
