import type { Command } from "commander";
import { parseCount } from "../key-options.ts";
import { getContext } from "./context.ts";
import { type CheckOptions, check } from "./policy/check.ts";
import { type DiffOptions, diff } from "./policy/diff.ts";
import { type HaltOptions, halt } from "./policy/halt.ts";
import { list, rollBack, show } from "./policy/history.ts";
import { type PublishOptions, publish } from "./policy/publish.ts";
import { type StatusOptions, status } from "./policy/status.ts";
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
    .option("--all-at-once", "give it to all routers at once instead of in waves; it stands in the record")
    .option("--wait", "follow its release to the end; exits 1 when it does not reach every router")
    .action((tree: string, options: PublishOptions, command: Command) => publish(tree, options, getContext(command)));

  policy
    .command("show")
    .description("print a version as it was published")
    .argument("[version]", "number of the version; by default the latest", parseVersion)
    .action((version: bigint | undefined, _, command: Command) => show(version ?? 0n, getContext(command)));

  policy
    .command("list")
    .description("list versions, newest first")
    .option("--limit <n>", "how many at most", parseCount, 20)
    .action((options: { limit: number }, command: Command) => list(options.limit, getContext(command)));

  policy
    .command("rollback")
    .description("make a new version with the content of an old one; the keyring stays as it is")
    .argument("<version>", "number of the version whose content is wanted", parseVersion)
    .option("--comment <text>", "why, for the record", "")
    .option("--expect-version <n>", "refuse when another version than this is the latest", parseVersion)
    .option("--all-at-once", "give it to all routers at once instead of in waves; it stands in the record")
    .option("--wait", "follow its release to the end; exits 1 when it does not reach every router")
    .action((version: bigint, options: PublishOptions, command: Command) =>
      rollBack(version, options, getContext(command)),
    );

  policy
    .command("halt")
    .description("stop the release of a version, and bring back what ran before")
    .argument("[version]", "number of the version; by default the latest", parseVersion)
    .option("--comment <text>", "why, for the record", "")
    .action((version: bigint | undefined, options: HaltOptions, command: Command) =>
      halt(version ?? 0n, options, getContext(command)),
    );

  policy
    .command("status")
    .description(
      "show how far the latest version has come, and every router; exits 1 when a connected one does not run what it is to run now, or a region has none",
    )
    .option("--follow", "follow the release to its end; exits 1 when it does not reach every router")
    .action((options: StatusOptions, command: Command) => status(options, getContext(command)));
}
