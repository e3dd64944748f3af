import { randomUUID } from "node:crypto";
import { create, toJson } from "@bufbuild/protobuf";
import { stringify } from "yaml";
import { PolicySchema } from "../../../gen/weir/policy/v1/policy_pb.ts";
import {
  GetPolicyResponseSchema,
  ListPolicyVersionsResponseSchema,
  PolicyService,
  RollBackPolicyResponseSchema,
} from "../../../gen/weir/policy/v1/policy_service_pb.ts";
import { CALL_OPTIONS, readPages, withClient } from "../../control-plane.ts";
import { formatTable, formatTime, printMessage } from "../../output.ts";
import type { Context } from "../context.ts";
import { followRelease } from "./follow.ts";
import type { PublishOptions } from "./publish.ts";
import { describeVersion, formatSnapshots, tellConflict } from "./version.ts";

/** `weir policy show`: prints a version (0: the latest) as it was published, as one YAML document that can be published again. */
export async function show(version: bigint, { addresses, output }: Context): Promise<void> {
  const response = await withClient(addresses.policy, PolicyService, (client) =>
    client.getPolicy({ version }, CALL_OPTIONS),
  );
  printMessage(output, GetPolicyResponseSchema, response, () =>
    [
      ...(response.version ? [`# ${describeVersion(response.version)}`] : []),
      stringify(toJson(PolicySchema, response.policy ?? create(PolicySchema))).trimEnd(),
    ].join("\n"),
  );
}

/** `weir policy list`: prints versions, newest first. */
export async function list(limit: number, { addresses, output }: Context): Promise<void> {
  const versions = await withClient(addresses.policy, PolicyService, (client) =>
    readPages(async (pageToken) => {
      const page = await client.listPolicyVersions({ pageToken, pageSize: Math.min(limit, 200) }, CALL_OPTIONS);
      return { items: page.versions, nextPageToken: page.nextPageToken };
    }, limit),
  );
  printMessage(output, ListPolicyVersionsResponseSchema, create(ListPolicyVersionsResponseSchema, { versions }), () =>
    formatTable(
      ["version", "published", "by", "content of", "snapshots", "comment"],
      versions.map((item) => [
        String(item.version),
        formatTime(item.publishedAt),
        item.publishedBy,
        item.contentOf ? String(item.contentOf) : "",
        item.snapshots.map(({ region, version }) => `${region} ${version}`).join(", "),
        item.comment,
      ]),
    ),
  );
}

/** `weir policy rollback`: makes a new version with the content of an old one. */
export async function rollBack(version: bigint, options: PublishOptions, context: Context): Promise<void> {
  const { comment, expectVersion: expectedVersion = 0n, allAtOnce = false, wait = false } = options;
  const response = await withClient(context.addresses.policy, PolicyService, (client) =>
    tellConflict(client, expectedVersion, () =>
      client.rollBackPolicy({ requestId: randomUUID(), version, comment, expectedVersion, allAtOnce }, CALL_OPTIONS),
    ),
  );
  printMessage(context.output, RollBackPolicyResponseSchema, response, () =>
    [
      `Version ${response.version?.version} has the content of version ${version}`,
      formatSnapshots(response.version),
    ].join("\n"),
  );
  if (wait) process.exitCode = await followRelease(response.version?.version ?? 0n, context);
}
