import { randomUUID } from "node:crypto";
import { HaltReleaseResponseSchema, ReleaseService } from "../../../gen/weir/policy/v1/release_service_pb.ts";
import { CALL_OPTIONS, withClient } from "../../control-plane.ts";
import { printMessage } from "../../output.ts";
import type { Context } from "../context.ts";

/** Options of `weir policy halt`. */
export interface HaltOptions {
  /** Why, for the record. */
  readonly comment: string;
}

/** `weir policy halt`: stops the release of a version (0: the latest) and brings back what ran before. */
export async function halt(version: bigint, { comment }: HaltOptions, { addresses, output }: Context): Promise<void> {
  const response = await withClient(addresses.policy, ReleaseService, async (client) => {
    const { release } = await client.getRelease({ policyVersion: version }, CALL_OPTIONS);
    const policyVersion = release?.policyVersion ?? version;
    return await client.haltRelease({ requestId: randomUUID(), policyVersion, comment }, CALL_OPTIONS);
  });
  printMessage(
    output,
    HaltReleaseResponseSchema,
    response,
    () =>
      `Halted version ${response.release?.policyVersion}; version ${response.release?.basePolicyVersion} comes back`,
  );
}
