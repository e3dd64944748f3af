import type { Client } from "@connectrpc/connect";
import { InvalidArgumentError } from "commander";
import type { PolicyService, PolicyVersion } from "../../../gen/weir/policy/v1/policy_service_pb.ts";
import { WeirError } from "../../../services/shared/errors/weir-error.ts";
import { fromConnectError } from "../../../services/shared/errors/wire.ts";
import { CALL_OPTIONS } from "../../control-plane.ts";
import { escapeControl, formatTime } from "../../output.ts";

/** Most versions that a conflict names. */
const NAMED_VERSIONS = 20;

/** Reads the number of a version from the command line. */
export function parseVersion(text: string): bigint {
  if (!/^[1-9]\d{0,17}$/.test(text)) throw new InvalidArgumentError("a version is a whole number from 1");
  return BigInt(text);
}

/** What each region got by a version, a line each. */
export function formatSnapshots(version: PolicyVersion | undefined): string {
  return (version?.snapshots ?? [])
    .map((snapshot) => `  ${snapshot.region}: snapshot ${snapshot.version}, ${snapshot.sizeBytes} bytes`)
    .join("\n");
}

/** A version in words: its number, when it was published, by whom and why. */
export function describeVersion({ version, publishedAt, publishedBy, contentOf, comment }: PolicyVersion): string {
  const by = publishedBy === "" ? "" : ` by ${escapeControl(publishedBy)}`;
  const origin = contentOf === 0n ? "" : `, content of version ${contentOf}`;
  return `version ${version}, published ${formatTime(publishedAt)}${by}${origin}${comment === "" ? "" : `: "${escapeControl(comment)}"`}`;
}

/** Does an act that expects a version. When others came between, the error's message tells of each of them. */
export async function tellConflict<Result>(
  client: Client<typeof PolicyService>,
  expected: bigint,
  act: () => Promise<Result>,
): Promise<Result> {
  try {
    return await act();
  } catch (error) {
    const { reason, message, facts } = fromConnectError(error);
    if (reason !== "VERSION_CONFLICT") throw error;
    const { versions } = await client.listPolicyVersions({ pageSize: NAMED_VERSIONS }, CALL_OPTIONS);
    const between = versions.filter(({ version }) => version > expected).map(describeVersion);
    const told = between.length === 0 ? message : [`${message}. Since then:`, ...between].join("\n  ");
    throw new WeirError(reason, told, { facts, cause: error });
  }
}
