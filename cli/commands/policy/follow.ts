import { setTimeout as sleep } from "node:timers/promises";
import { toJson } from "@bufbuild/protobuf";
import { type Release, ReleaseSchema, ReleaseState } from "../../../gen/weir/policy/v1/release_pb.ts";
import { ReleaseService } from "../../../gen/weir/policy/v1/release_service_pb.ts";
import { fromConnectError } from "../../../services/shared/errors/wire.ts";
import { withClient } from "../../control-plane.ts";
import type { Context } from "../context.ts";
import { describeRelease } from "./describe-release.ts";

/** Policy may restart while a release is followed: so often it is asked again, a second apart, before the command gives up. */
const RETRIES = 30;

/**
 * Follows the release of a version (0: the latest) to its end and prints it at each change: a line, or a JSON document on one line. Returns
 * the process's exit code: 0 when every router gets the version, 1 when it was rolled back or superseded.
 */
export async function followRelease(policyVersion: bigint, { addresses, output }: Context): Promise<0 | 1> {
  let version = policyVersion;
  let told = "";
  let last: Release | undefined;
  const tell = (release: Release): void => {
    // What it waits for counts down; only what has changed is worth a line.
    const line = output === "json" ? JSON.stringify(toJson(ReleaseSchema, release)) : describeRelease(release);
    if (line !== told) console.log(line);
    told = line;
    last = release;
    // Should another version be published meanwhile, this one is still meant.
    version = release.policyVersion;
  };
  for (let failures = 0; ; failures++) {
    try {
      await withClient(addresses.policy, ReleaseService, async (client) => {
        for await (const { release } of client.watchRelease({ policyVersion: version }, { timeoutMs: 0 })) {
          failures = 0;
          if (release !== undefined) tell(release);
        }
      });
      return last?.state === ReleaseState.DONE ? 0 : 1;
    } catch (error) {
      if (fromConnectError(error).reason !== "UNAVAILABLE" || last === undefined || failures >= RETRIES) throw error;
      await sleep(1_000);
    }
  }
}
