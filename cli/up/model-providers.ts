/** A model provider that the example policy points at: the scripted one, or a real one found in the environment. */
export interface ModelProvider {
  /** Id in the policy. */
  readonly id: string;
  readonly displayName: string;
  /** The language it is spoken to in, as a policy names it. Default "DIALECT_OPENAI". */
  readonly dialect?: string;
  /** Which of the servers that speak OpenAI's language it is, as a policy names it. Default OpenAI itself. */
  readonly server?: string;
  readonly baseUrl: string;
  /** The credential's name and secret; absent for a provider that wants none. */
  readonly credential?: { readonly name: string; readonly secret: string };
  readonly small: ProvidedModel;
  readonly large: ProvidedModel;
}

/** A model at a provider, with its price in dollars for a million tokens. */
export interface ProvidedModel {
  readonly name: string;
  readonly input: string;
  readonly output: string;
}

/**
 * Finds the real providers that the environment names: `OPENAI_API_KEY`, `ANTHROPIC_API_KEY`, `WEIR_OLLAMA_URL` and `WEIR_VLLM_URL`
 * (base URLs such as http://127.0.0.1:11434/v1; their first model is asked for). Empty when there is none: the scripted provider is
 * used then. Throws when an Ollama or vLLM that is named does not answer.
 */
export async function findModelProviders(environment: NodeJS.ProcessEnv): Promise<ModelProvider[]> {
  const providers: ModelProvider[] = [];
  if (environment.OPENAI_API_KEY) {
    // Prices: https://platform.openai.com/docs/pricing
    providers.push({
      id: "openai",
      displayName: "OpenAI",
      baseUrl: "https://api.openai.com/v1",
      credential: { name: "openai", secret: environment.OPENAI_API_KEY },
      small: { name: "gpt-4o-mini", input: "0.15", output: "0.60" },
      large: { name: "gpt-4o", input: "2.50", output: "10" },
    });
  }
  if (environment.ANTHROPIC_API_KEY) {
    // Prices: https://www.claude.com/pricing
    providers.push({
      id: "anthropic",
      displayName: "Anthropic",
      dialect: "DIALECT_ANTHROPIC",
      baseUrl: "https://api.anthropic.com/v1",
      credential: { name: "anthropic", secret: environment.ANTHROPIC_API_KEY },
      small: { name: "claude-haiku-4-5", input: "1", output: "5" },
      large: { name: "claude-sonnet-4-5", input: "3", output: "15" },
    });
  }
  for (const [id, displayName, setting, server] of [
    ["ollama", "Ollama", "WEIR_OLLAMA_URL", "SERVER_OLLAMA"],
    ["vllm", "vLLM", "WEIR_VLLM_URL", "SERVER_VLLM"],
  ] as const) {
    const url = environment[setting];
    if (url) {
      const baseUrl = withVersionPath(url, setting);
      const name = await getFirstModel(baseUrl, setting);
      const model = { name, input: "0", output: "0" };
      providers.push({ id, displayName, server, baseUrl, small: model, large: model });
    }
  }
  return providers;
}

function withVersionPath(url: string, setting: string): string {
  if (!URL.canParse(url)) {
    throw new Error(`Cannot use ${setting}: "${url}" is not a URL such as http://127.0.0.1:11434/v1`);
  }
  const trimmed = url.replace(/\/+$/, "");
  return new URL(trimmed).pathname === "/" ? `${trimmed}/v1` : trimmed;
}

async function getFirstModel(baseUrl: string, setting: string): Promise<string> {
  let found: string | undefined;
  try {
    const response = await fetch(`${baseUrl}/models`, { signal: AbortSignal.timeout(5_000) });
    found = ((await response.json()) as { data?: { id?: string }[] }).data?.[0]?.id;
  } catch (error) {
    throw new Error(`Cannot use ${setting}: ${baseUrl}/models does not answer (${(error as Error).message})`);
  }
  if (!found) {
    throw new Error(`Cannot use ${setting}: ${baseUrl}/models lists no model; pull or load one first`);
  }
  return found;
}
