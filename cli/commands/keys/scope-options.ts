import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { type Command, Option } from "commander";
import type { KeySettingsSchema } from "../../../gen/weir/policy/v1/key_service_pb.ts";
import { collectLabel, parseCount, parseSpan, parseTime } from "../../key-options.ts";

/** What a key is good for, as options say it; absent where they do not. */
export interface ScopeOptions {
  readonly name?: string;
  readonly model?: readonly string[];
  readonly requestsPerMinute?: number;
  readonly expires?: Date;
  readonly label?: Readonly<Record<string, string>>;
  readonly region?: readonly string[];
  readonly tool?: readonly string[];
  readonly withoutTools?: true;
  readonly strictAfter?: ReturnType<typeof parseSpan>;
}

/** Adds the options that say what a key is good for. */
export function addScopeOptions(command: Command): Command {
  return command
    .option("--name <text>", "name for people")
    .option("--model <id...>", 'models that it may ask for; "*" means all')
    .option("--requests-per-minute <n>", "limit of its own; 0 means none", parseCount)
    .option("--expires <time>", "when it stops being good, such as 2027-01-31 or 2027-01-31T12:00:00Z", parseTime)
    .option("--label <name=value>", "what it is marked with; again for several", collectLabel)
    .option("--region <id...>", "regions whose routers honour it; without it all")
    .option("--tool <name...>", "tools that its requests may offer to a model; without it any")
    .addOption(new Option("--without-tools", "its requests may offer no tool").conflicts("tool"))
    .option(
      "--strict-after <span>",
      "refused by a router that has not heard from policy for longer, such as 60s; without it never for that",
      parseSpan,
    );
}

/** What options say of a key, as a request has it. */
export function toSettings(
  options: ScopeOptions,
): Exclude<MessageInitShape<typeof KeySettingsSchema>, { $typeName: string }> {
  const { name, model, requestsPerMinute, expires, label, region, tool, withoutTools, strictAfter } = options;
  return {
    ...(name !== undefined && { displayName: name }),
    ...(model && { models: [...model] }),
    ...(requestsPerMinute !== undefined && { requestsPerMinute }),
    ...(expires && { expiresAt: timestampFromDate(expires) }),
    ...(label && { labels: { ...label } }),
    ...(region && { regions: [...region] }),
    ...((tool || withoutTools) && { tools: { names: [...(tool ?? [])] } }),
    ...(strictAfter && { strictAfter }),
  };
}
