import { type Command, Option } from "commander";
import type { RoleName } from "../../services/shared/authority/roles.ts";
import { parseTime } from "../key-options.ts";
import { ALL_ROLES, addAdminKey } from "../operators.ts";
import type { OutputFormat } from "../output.ts";
import { createLayout } from "../up/layout.ts";

interface AddKeyOptions {
  readonly name: string;
  readonly role: readonly string[];
  readonly organisation: string;
  readonly environment: string;
  readonly expires?: Date;
  readonly file?: string;
  readonly dataDir: string;
  readonly output: OutputFormat;
}

/** Adds `weir operators …`: who may operate the mesh. */
export function addOperatorCommands(program: Command): void {
  const operators = program.command("operators").description("say who operates a mesh");

  operators
    .command("add-key")
    .description("make an admin key, shown once, and write its hash and roles into the operators' document")
    .requiredOption("--name <text>", "name for people")
    .addOption(
      new Option("--role <names...>", "what it may do")
        .choices(ALL_ROLES.map((role) => role.toLowerCase().replaceAll("_", "-")))
        .makeOptionMandatory(),
    )
    .requiredOption("--organisation <id>", 'where: the id of an organisation, or "*" for the whole mesh')
    .option("--environment <id>", "only in this environment of the organisation", "")
    .option("--expires <time>", "when it stops being good, such as 2027-01-31; by default never", parseTime)
    .option("--file <path>", "the document; by default operators.yaml of the data directory")
    .action((options: AddKeyOptions) => {
      const file = options.file ?? createLayout(options.dataDir).operators;
      const { id, text } = addAdminKey(file, {
        displayName: options.name,
        roles: options.role.map((role) => role.toUpperCase().replaceAll("-", "_") as RoleName),
        organisation: options.organisation,
        environment: options.environment,
        ...(options.expires && { expiresAt: options.expires }),
      });
      if (options.output === "json") {
        console.log(JSON.stringify({ id, key: text, file }, null, 2));
        return;
      }
      console.log(text);
      console.error(
        `Made admin key ${id}; its hash is in ${file}. The key itself is shown this once: give it as WEIR_TOKEN_FILE.`,
      );
    });
}
