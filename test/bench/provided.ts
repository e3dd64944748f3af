import { HOST } from "../../cli/up/layout.ts";
import type { ProviderStats } from "./native/report.ts";
import type { Setup } from "./setup.ts";

/** Does something that makes load, and counts the requests that reach the provider meanwhile. */
export async function countProvided<T>(
  setup: Setup,
  act: () => Promise<T>,
): Promise<{ readonly result: T; readonly provided: number }> {
  const before = await readRequests(setup);
  const result = await act();
  return { result, provided: (await readRequests(setup)) - before };
}

async function readRequests({ provider }: Setup): Promise<number> {
  // Not kept alive: this connection must not be one of those that the provider has open while it is measured.
  const answer = await fetch(`http://${HOST}:${provider.port}/stats`, { headers: { connection: "close" } });
  return ((await answer.json()) as ProviderStats).requests;
}
