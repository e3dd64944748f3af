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

/** Proto JSON of a policy in which each of {@link MODELS} leads to a provider of its own at this address. */
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
    targets: Object.keys(MODELS).map((id) => ({
      id: `${id}/model`,
      provider: id,
      model: "model",
      prices,
      maxOutputTokens: "4096",
    })),
    models: Object.keys(MODELS).map((id) => ({ id, routes: [{ target: `${id}/model` }] })),
    organisations: [
      { id: "demo", teams: [{ id: "search", apps: [{ id: "assistant", environments: ["production"] }] }] },
    ],
  };
}
