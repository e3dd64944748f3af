import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import { HOST, REGIONS } from "./layout.ts";
import type { ModelProvider } from "./model-providers.ts";

/** Comment of a version that `weir up` or `weir demo` published: such a version may be replaced by a newer example. */
export const EXAMPLE_COMMENT = "Example policy of weir up";

/** Proto JSON of weir.policy.v1.Policy, as far as the example is changed by code. */
interface PolicyJson {
  providers: { baseUrl: string }[];
  targets: unknown[];
  models: { id: string; routes: unknown[] }[];
}

/**
 * Returns the example policy as proto JSON: that of example-policy.yaml with the scripted provider at this port, or with the real
 * providers put in its place, in the order of preference (the later ones are fallbacks).
 */
export function createExamplePolicy(scriptedPort: number, providers: readonly ModelProvider[]): unknown {
  const policy = parse(
    readFileSync(fileURLToPath(new URL("./example-policy.yaml", import.meta.url)), "utf8"),
  ) as PolicyJson;
  if (providers.length === 0) {
    for (const provider of policy.providers) {
      provider.baseUrl = `http://${HOST}:${scriptedPort}/v1`;
    }
    return policy;
  }
  return {
    ...policy,
    providers: providers.map(({ id, displayName, dialect = "DIALECT_OPENAI", server, baseUrl, credential }) => ({
      id,
      displayName,
      dialect,
      ...(server === undefined ? {} : { server }),
      baseUrl,
      ...(credential ? { credential: credential.name } : {}),
      regions: REGIONS,
    })),
    targets: providers.flatMap((provider) =>
      (["small", "large"] as const).map((size) => ({
        id: `${provider.id}/${size}`,
        provider: provider.id,
        model: provider[size].name,
        prices: { input: provider[size].input, output: provider[size].output },
      })),
    ),
    models: policy.models.map((model) => ({
      ...model,
      routes: providers.map((provider, priority) => ({ target: `${provider.id}/${model.id}`, priority })),
    })),
  };
}
