import { onTestFinished } from "vitest";
import {
  type Harness,
  type HarnessOptions,
  type HarnessProvider,
  type ProviderHandler,
  startHarness,
  startProvider,
  type TestProvider,
} from "./harness.fixture.ts";

/** A provider of a test: how it answers, and how the policy has it; of the OpenAI dialect when that says nothing else. */
export interface Side {
  readonly answer: ProviderHandler;
  readonly policy?: Partial<HarnessProvider>;
}

/** Starts a provider for each side, in the order of their priority, and a router before them. All of it ends with the test. */
export async function startSides(
  sides: readonly Side[],
  options: Partial<HarnessOptions> = {},
): Promise<{ readonly router: Harness; readonly providers: TestProvider[] }> {
  const providers = await Promise.all(sides.map(({ answer }) => startProvider(answer)));
  const router = await startHarness({
    providers: providers.map(({ url }, index) => ({ baseUrl: url, ...sides[index]?.policy })),
    ...options,
  });
  onTestFinished(async () => {
    await router.close();
    for (const provider of providers) await provider.close();
  });
  return { router, providers };
}
