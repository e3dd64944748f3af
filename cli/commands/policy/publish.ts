import { randomUUID } from "node:crypto";
import { toJson } from "@bufbuild/protobuf";
import { PolicyService, PolicyVersionSchema } from "../../../gen/weir/policy/v1/policy_service_pb.ts";
import { CALL_OPTIONS, withClient } from "../../control-plane.ts";
import { printJson } from "../../output.ts";
import { formatFindings, toFindingsJson } from "../../policy-tree/finding.ts";
import { locateFindings } from "../../policy-tree/read-policy-tree.ts";
import type { Context } from "../context.ts";
import { askWithTree } from "./check.ts";
import { followRelease } from "./follow.ts";
import { formatSnapshots, tellConflict } from "./version.ts";

/** Options of `weir policy publish`. */
export interface PublishOptions {
  /** Why, for the record. */
  readonly comment: string;
  /** Latest version that the publisher has seen. Absent: whatever it is. */
  readonly expectVersion?: bigint;
  /** Give it to all routers at once. */
  readonly allAtOnce?: boolean;
  /** Follow its release to the end. */
  readonly wait?: boolean;
}

/** `weir policy publish`: makes what a tree says the next version. Prints every finding instead when there is an error. */
export async function publish(path: string, options: PublishOptions, context: Context): Promise<void> {
  const { addresses, output } = context;
  const { comment, expectVersion: expectedVersion = 0n, allAtOnce = false, wait = false } = options;
  await askWithTree("publish policy", path, context, async (tree) => {
    const response = await withClient(addresses.policy, PolicyService, (client) =>
      tellConflict(client, expectedVersion, () =>
        client.publishPolicy(
          { requestId: randomUUID(), policy: tree.policy, comment, expectedVersion, allAtOnce },
          CALL_OPTIONS,
        ),
      ),
    );
    const findings = locateFindings(tree, response.findings);
    const { version } = response;
    if (output === "json") {
      printJson({
        version: version && toJson(PolicyVersionSchema, version),
        ...(findings.length > 0 && { findings: toFindingsJson(findings) }),
      });
    } else {
      if (findings.length > 0) console.log(formatFindings(findings));
      console.log(`Published as version ${version?.version}\n${formatSnapshots(version)}`);
      if (!wait && !allAtOnce) console.log("On its way in waves; follow it: weir policy status --follow");
    }
    if (wait) process.exitCode = await followRelease(version?.version ?? 0n, context);
  });
}
