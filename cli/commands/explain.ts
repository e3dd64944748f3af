import type { Command } from "commander";
import { ExplainResponseSchema, ExplainService } from "../../gen/weir/policy/v1/explain_service_pb.ts";
import type { Candidate } from "../../gen/weir/type/v1/decision_pb.ts";
import { CALL_OPTIONS, withClient } from "../control-plane.ts";
import { formatTable, printMessage } from "../output.ts";
import { getContext } from "./context.ts";

interface ExplainOptions {
  readonly region: string;
  readonly key: string;
  readonly model: string;
  readonly event?: string;
}

/** Adds `weir explain`: what a region would decide of a call, and why. */
export function addExplainCommand(program: Command): void {
  program
    .command("explain")
    .description("say what a region would decide of a call, with the code that its routers run; exits 1 when denied")
    .requiredOption("--region <id>", "region whose routers would decide")
    .requiredOption("--key <id>", "id of the key that asks")
    .requiredOption("--model <id>", "model that is asked for")
    .option("--event <uuid>", "id of the call, which decides the draw among weighted targets")
    .action(async (options: ExplainOptions, command: Command) => {
      const { addresses, output } = getContext(command);
      const response = await withClient(addresses.policy, ExplainService, (client) =>
        client.explain(
          { region: options.region, keyId: options.key, model: options.model, eventId: options.event ?? "" },
          CALL_OPTIONS,
        ),
      );
      printMessage(output, ExplainResponseSchema, response, () =>
        [
          response.denied ? `Denied: ${response.denied}: ${response.message}` : "Would begin",
          `Under snapshot ${response.versions?.snapshotVersion ?? 0} and keyring ${response.versions?.keyringVersion ?? 0}`,
          `Counted by limits: ${response.limits.join(", ") || "none"}`,
          ...(response.candidates.length > 0 ? ["", formatCandidates(response.candidates)] : []),
        ].join("\n"),
      );
      process.exitCode = response.denied ? 1 : 0;
    });
}

function formatCandidates(candidates: readonly Candidate[]): string {
  return formatTable(
    ["target", "priority", "weight", "draw", "rejected"],
    candidates.map(({ target, result }) =>
      result.case === "score"
        ? [target, String(result.value.priority), String(result.value.weight), String(result.value.draw), ""]
        : [target, "", "", "", result.value ?? ""],
    ),
  );
}
