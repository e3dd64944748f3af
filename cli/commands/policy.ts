import { randomUUID } from "node:crypto";
import { create, toJson } from "@bufbuild/protobuf";
import { type Command, InvalidArgumentError } from "commander";
import { stringify } from "yaml";
import { type Finding, PolicySchema, Severity } from "../../gen/weir/policy/v1/policy_pb.ts";
import {
  CheckPolicyResponseSchema,
  GetPolicyResponseSchema,
  ListPolicyVersionsResponseSchema,
  PolicyService,
  type PolicyVersion,
  PublishPolicyResponseSchema,
  RollBackPolicyResponseSchema,
} from "../../gen/weir/policy/v1/policy_service_pb.ts";
import {
  type Instance,
  type LatestVersions,
  ListInstancesResponseSchema,
  ReleaseService,
} from "../../gen/weir/policy/v1/release_service_pb.ts";
import { SnapshotPhase } from "../../gen/weir/policy/v1/snapshot_service_pb.ts";
import { CALL_OPTIONS, readPages, withClient } from "../control-plane.ts";
import { formatTable, formatTime, printMessage } from "../output.ts";
import { readPolicyFile } from "../policy-file.ts";
import { type Context, getContext } from "./context.ts";

/** Adds `weir policy …`: what a platform engineer does with policies. */
export function addPolicyCommands(program: Command): void {
  const policy = program.command("policy").description("check, publish and follow policies");

  policy
    .command("check")
    .description("say what is wrong with a policy, all at once; exits 1 when there is an error")
    .argument("<file>", "policy as YAML or JSON")
    .action((file: string, _, command: Command) => check(file, getContext(command)));

  policy
    .command("publish")
    .description("make a policy the next version, on its way to every region")
    .argument("<file>", "policy as YAML or JSON")
    .option("--comment <text>", "why, for the record", "")
    .option("--expected-version <n>", "refuse when another version came between", parseVersion)
    .action((file: string, options: { comment: string; expectedVersion?: bigint }, command: Command) =>
      publish(file, options, getContext(command)),
    );

  policy
    .command("get")
    .description("print a version as it was published")
    .argument("[version]", "number of the version; by default the latest", parseVersion)
    .action((version: bigint | undefined, _, command: Command) => get(version ?? 0n, getContext(command)));

  policy
    .command("list")
    .description("list versions, newest first")
    .option("--limit <n>", "how many at most", Number, 20)
    .action((options: { limit: number }, command: Command) => list(options.limit, getContext(command)));

  policy
    .command("rollback")
    .description("make a new version with the content of an old one; the keyring stays as it is")
    .argument("<version>", "number of the version whose content is wanted", parseVersion)
    .option("--comment <text>", "why, for the record", "")
    .action((version: bigint, options: { comment: string }, command: Command) =>
      rollBack(version, options.comment, getContext(command)),
    );

  policy
    .command("status")
    .description(
      "show every router with the versions it runs; exits 1 when a connected one is not current, or a region has none",
    )
    .action((_, command: Command) => status(getContext(command)));
}

async function check(file: string, { addresses, output }: Context): Promise<void> {
  const policy = readPolicyFile(file);
  const response = await withClient(addresses.policy, PolicyService, (client) =>
    client.checkPolicy({ policy }, CALL_OPTIONS),
  );
  const hasErrors = response.findings.some(({ severity }) => severity === Severity.ERROR);
  printMessage(output, CheckPolicyResponseSchema, response, () =>
    response.findings.length === 0 ? `${file}: no findings` : formatFindings(response.findings),
  );
  process.exitCode = hasErrors ? 1 : 0;
}

async function publish(
  file: string,
  { comment, expectedVersion = 0n }: { comment: string; expectedVersion?: bigint },
  { addresses, output }: Context,
): Promise<void> {
  const policy = readPolicyFile(file);
  const response = await withClient(addresses.policy, PolicyService, (client) =>
    client.publishPolicy({ requestId: randomUUID(), policy, comment, expectedVersion }, CALL_OPTIONS),
  );
  printMessage(output, PublishPolicyResponseSchema, response, () =>
    [
      ...(response.findings.length > 0 ? [formatFindings(response.findings)] : []),
      `Published as version ${response.version?.version}`,
      formatSnapshots(response.version),
    ].join("\n"),
  );
}

async function get(version: bigint, { addresses, output }: Context): Promise<void> {
  const response = await withClient(addresses.policy, PolicyService, (client) =>
    client.getPolicy({ version }, CALL_OPTIONS),
  );
  printMessage(output, GetPolicyResponseSchema, response, () =>
    [
      `# Version ${response.version?.version}, published ${formatTime(response.version?.publishedAt)}`,
      stringify(toJson(PolicySchema, response.policy ?? create(PolicySchema))).trimEnd(),
    ].join("\n"),
  );
}

async function list(limit: number, { addresses, output }: Context): Promise<void> {
  const versions = await withClient(addresses.policy, PolicyService, (client) =>
    readPages(async (pageToken) => {
      const page = await client.listPolicyVersions({ pageToken, pageSize: Math.min(limit, 200) }, CALL_OPTIONS);
      return { items: page.versions, nextPageToken: page.nextPageToken };
    }, limit),
  );
  printMessage(output, ListPolicyVersionsResponseSchema, create(ListPolicyVersionsResponseSchema, { versions }), () =>
    formatTable(
      ["version", "published", "content of", "snapshots", "comment"],
      versions.map((item) => [
        String(item.version),
        formatTime(item.publishedAt),
        item.contentOf ? String(item.contentOf) : "",
        item.snapshots.map(({ region, version }) => `${region} ${version}`).join(", "),
        item.comment,
      ]),
    ),
  );
}

async function rollBack(version: bigint, comment: string, { addresses, output }: Context): Promise<void> {
  const response = await withClient(addresses.policy, PolicyService, (client) =>
    client.rollBackPolicy({ requestId: randomUUID(), version, comment }, CALL_OPTIONS),
  );
  printMessage(output, RollBackPolicyResponseSchema, response, () =>
    [
      `Version ${response.version?.version} has the content of version ${version}`,
      formatSnapshots(response.version),
    ].join("\n"),
  );
}

async function status({ addresses, output }: Context): Promise<void> {
  const latest = new Map<string, LatestVersions>();
  const instances = await withClient(addresses.policy, ReleaseService, (client) =>
    readPages(async (pageToken) => {
      const page = await client.listInstances({ pageToken, pageSize: 1_000 }, CALL_OPTIONS);
      for (const versions of page.latest) {
        latest.set(versions.region, versions);
      }
      return { items: page.instances, nextPageToken: page.nextPageToken };
    }),
  );
  const response = create(ListInstancesResponseSchema, { instances, latest: [...latest.values()] });
  printMessage(output, ListInstancesResponseSchema, response, () =>
    formatTable(
      ["region", "instance", "connected", "snapshot", "of", "keyring", "of", "state"],
      instances.map((instance) => {
        const newest = latest.get(instance.region);
        return [
          instance.region,
          instance.instance,
          instance.connected ? "yes" : "no",
          String(instance.snapshot?.version ?? 0n),
          String(newest?.snapshotVersion ?? 0n),
          String(instance.keyring?.version ?? 0n),
          String(newest?.keyringVersion ?? 0n),
          describeState(instance, newest),
        ];
      }),
    ),
  );
  const connected = instances.filter((instance) => instance.connected);
  const isCurrent = connected.every((instance) => describeState(instance, latest.get(instance.region)) === "current");
  const isServed = [...latest.keys()].every((region) => connected.some((instance) => instance.region === region));
  process.exitCode = isCurrent && isServed ? 0 : 1;
}

/** In words whether an instance runs the latest versions. */
function describeState(instance: Instance, latest: LatestVersions | undefined): string {
  const refused = [instance.snapshot, instance.keyring].find((running) => running?.phase === SnapshotPhase.REFUSED);
  if (refused) {
    return `refused version ${refused.reportedVersion}: ${refused.reasons.join("; ")}`;
  }
  const isCurrent =
    (instance.snapshot?.version ?? 0n) >= (latest?.snapshotVersion ?? 0n) &&
    (instance.keyring?.version ?? 0n) >= (latest?.keyringVersion ?? 0n);
  return isCurrent ? "current" : "behind";
}

function formatFindings(findings: readonly Finding[]): string {
  return findings
    .map(({ severity, field, rule, message }) => {
      const weight = severity === Severity.ERROR ? "error" : "warning";
      return `${weight}: ${field}: ${message} [${rule}]`;
    })
    .join("\n");
}

function formatSnapshots(version: PolicyVersion | undefined): string {
  return (version?.snapshots ?? [])
    .map((snapshot) => `  ${snapshot.region}: snapshot ${snapshot.version}, ${snapshot.sizeBytes} bytes`)
    .join("\n");
}

function parseVersion(text: string): bigint {
  if (!/^\d{1,18}$/.test(text)) {
    throw new InvalidArgumentError("a version is a whole number");
  }
  return BigInt(text);
}
