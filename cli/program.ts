import { Command, Option } from "commander";
import { addAuditCommands } from "./commands/audit.ts";
import { addCertificateCommands } from "./commands/certificates.ts";
import { addCredentialCommands } from "./commands/credentials.ts";
import { addDemoCommand } from "./commands/demo.ts";
import { addExplainCommand } from "./commands/explain.ts";
import { addKeygenCommand } from "./commands/keygen.ts";
import { addKeyCommands } from "./commands/keys.ts";
import { addLoginCommands } from "./commands/login.ts";
import { addOperatorCommands } from "./commands/operators.ts";
import { addPolicyCommands } from "./commands/policy.ts";
import { addSpendCommand } from "./commands/spend.ts";
import { addTenantCommands } from "./commands/tenants.ts";
import { addUpCommand } from "./commands/up.ts";
import { type OutputFormat, printFailure } from "./output.ts";

/**
 * The `weir` command with its subcommands. Each exits 0 when it did what was asked and found nothing wrong, 1 when it failed or found
 * something, and prints why to standard error.
 */
export function createProgram(): Command {
  const program = new WeirCommand("weir")
    .description("The gateway through which an organisation's applications and agents reach large language models")
    .showHelpAfterError("(weir help shows what there is)");
  addUpCommand(program);
  addDemoCommand(program);
  addKeygenCommand(program);
  addCertificateCommands(program);
  addOperatorCommands(program);
  addLoginCommands(program);
  addPolicyCommands(program);
  addKeyCommands(program);
  addCredentialCommands(program);
  addTenantCommands(program);
  addSpendCommand(program);
  addAuditCommands(program);
  addExplainCommand(program);
  return program;
}

/** A command that, when it does something itself, has the common options, and whose failures are printed, not thrown. */
class WeirCommand extends Command {
  override createCommand(name?: string): Command {
    return new WeirCommand(name);
  }

  override action(handler: (...args: never[]) => void | Promise<void>): this {
    this.addOption(new Option("--output <format>", "how to print").choices(["text", "json"]).default("text"));
    this.option("--data-dir <folder>", "folder of the mesh", ".weir");
    return super.action(async (...args: unknown[]) => {
      try {
        await handler(...(args as never[]));
      } catch (error) {
        printFailure((this.opts().output as OutputFormat) ?? "text", error);
        process.exitCode = 1;
      }
    });
  }
}
