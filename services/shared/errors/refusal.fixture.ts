import type { WeirError } from "./weir-error.ts";
import { fromConnectError } from "./wire.ts";

/** Gets the error with which a service refuses. Throws when it does not. */
export async function getRefusal(act: Promise<unknown>): Promise<WeirError> {
  return await act.then(
    () => {
      throw new Error("Cannot get refusal: the call succeeded");
    },
    (error: unknown) => fromConnectError(error),
  );
}

/** All that a caller is told: "OK", or everything that a refusal says, with the words left out that they wrote themselves. */
export async function tell(act: Promise<unknown>, ...asked: readonly string[]): Promise<string> {
  return await act.then(
    () => "OK",
    (error: unknown) => {
      const { reason, message, facts, violations } = fromConnectError(error);
      const told = JSON.stringify({ reason, message, facts, violations });
      return asked.reduce((text, word) => text.replaceAll(word, "…"), told);
    },
  );
}
