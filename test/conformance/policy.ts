/** The models of a conformance mesh, by how their only provider reads what a caller wrote. */
export const MODELS = {
  /** An OpenAI server that serves responses and chat completions: both are relayed. */
  openai: "openai",
  /** A server that only serves chat completions: responses are translated. */
  plain: "plain",
  /** Anthropic. */
  anthropic: "anthropic",
  /** Gemini. */
  gemini: "gemini",
} as const;

/** Statuses and faults with which a provider is made to fail. */
const FAILURES = [400, 401, 429, 500, "cut", "end", "error", "malformed"] as const;

/**
 * The model of a target that is asked for nothing but this failure, since a router leaves alone for a while who fails. `model` is one of
 * {@link MODELS}.
 */
export function failingModel(model: string, failure: (typeof FAILURES)[number]): string {
  return `${model}-${failure}`;
}

/** Proto JSON of a policy in which each of {@link MODELS} leads to a provider of its own at this address, and so do their failing ones. */
export function createConformancePolicy(address: string): unknown {
  const regions = ["eu", "us"];
  const prices = { input: "1", output: "2", cachedInput: "0.5", cacheWrite: "1.25" };
  return {
    organisation: "demo",
    regions: regions.map((id) => ({ id })),
    providers: [
      { id: "openai", dialect: "DIALECT_OPENAI", baseUrl: `${address}/v1`, regions },
      { id: "plain", dialect: "DIALECT_OPENAI", server: "SERVER_OTHER", baseUrl: `${address}/v1`, regions },
      { id: "anthropic", dialect: "DIALECT_ANTHROPIC", baseUrl: `${address}/v1`, regions },
      { id: "gemini", dialect: "DIALECT_GEMINI", baseUrl: `${address}/v1beta`, regions },
    ],
    targets: Object.keys(MODELS).flatMap((id) =>
      ["model", ...FAILURES].map((place) => ({
        id: `${id}/${place}`,
        provider: id,
        model: "model",
        prices,
        maxOutputTokens: "4096",
      })),
    ),
    models: Object.keys(MODELS).flatMap((id) => [
      { id, routes: [{ target: `${id}/model` }] },
      ...FAILURES.map((failure) => ({ id: failingModel(id, failure), routes: [{ target: `${id}/${failure}` }] })),
    ]),
    organisations: [
      { id: "demo", teams: [{ id: "search", apps: [{ id: "assistant", environments: ["production"] }] }] },
    ],
  };
}
