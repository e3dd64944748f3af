import { create } from "@bufbuild/protobuf";
import type { Command } from "commander";
import {
  type Instance,
  type LatestVersions,
  ListInstancesResponseSchema,
  ReleaseService,
} from "../../gen/weir/policy/v1/release_service_pb.ts";
import { SnapshotPhase } from "../../gen/weir/policy/v1/snapshot_service_pb.ts";
import { CALL_OPTIONS, readPages, withClient } from "../control-plane.ts";
import { formatTable, printMessage } from "../output.ts";
import { type Context, getContext } from "./context.ts";
import { type CheckOptions, check } from "./policy/check.ts";
import { type DiffOptions, diff } from "./policy/diff.ts";
import { list, rollBack, show } from "./policy/history.ts";
import { type PublishOptions, publish } from "./policy/publish.ts";
import { parseVersion } from "./policy/version.ts";

/** The argument of every command that takes a policy. */
const TREE = "the policy: a YAML or JSON file, or a folder in which each *.yaml, *.yml and *.json is a part of it";

/** Adds `weir policy …`: what a platform engineer does with policies. */
export function addPolicyCommands(program: Command): void {
  const policy = program.command("policy").description("check, publish and follow policies");

  policy
    .command("check")
    .description("say what is wrong with a policy, all at once and where; exits 1 when there is an error")
    .argument("<tree>", TREE)
    .option("--strict", "exit 1 on warnings too")
    .action((tree: string, options: CheckOptions, command: Command) => check(tree, options, getContext(command)));

  policy
    .command("diff")
    .description("say in words what would change, and for whom, if a policy were published")
    .argument("<tree>", TREE)
    .option("--against <n>", "version to compare with; by default the latest", parseVersion)
    .option("--exit-code", "exit 1 when something would change")
    .action((tree: string, options: DiffOptions, command: Command) => diff(tree, options, getContext(command)));

  policy
    .command("publish")
    .description("make a policy the next version, on its way to every region")
    .argument("<tree>", TREE)
    .option("--comment <text>", "why, for the record", "")
    .option("--expect-version <n>", "refuse when another version than this is the latest", parseVersion)
    .action((tree: string, options: PublishOptions, command: Command) => publish(tree, options, getContext(command)));

  policy
    .command("show")
    .description("print a version as it was published")
    .argument("[version]", "number of the version; by default the latest", parseVersion)
    .action((version: bigint | undefined, _, command: Command) => show(version ?? 0n, getContext(command)));

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
    .option("--expect-version <n>", "refuse when another version than this is the latest", parseVersion)
    .action((version: bigint, options: PublishOptions, command: Command) =>
      rollBack(version, options, getContext(command)),
    );

  policy
    .command("status")
    .description(
      "show every router with the versions it runs; exits 1 when a connected one is not current, or a region has none",
    )
    .action((_, command: Command) => status(getContext(command)));
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
