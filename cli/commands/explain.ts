import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { type Command, InvalidArgumentError } from "commander";
import {
  type ExplainResponse,
  ExplainResponseSchema,
  ExplainService,
  RuleAnswer,
} from "../../gen/weir/policy/v1/explain_service_pb.ts";
import { type Candidate, PriorityClass, RuleEffect } from "../../gen/weir/type/v1/decision_pb.ts";
import { Operation } from "../../gen/weir/type/v1/usage_pb.ts";
import { CALL_OPTIONS, withClient } from "../control-plane.ts";
import { findRecordedCall } from "../explained-call.ts";
import { collectLabel, parseTime } from "../key-options.ts";
import { escapeControl, formatTable, printMessage } from "../output.ts";
import { getContext } from "./context.ts";

interface ExplainOptions {
  readonly region: string;
  readonly key?: string;
  readonly model?: string;
  readonly event?: string;
  readonly call?: string;
  readonly operation: Operation;
  readonly streamed?: boolean;
  readonly maxOutputTokens?: bigint;
  readonly inputBytes?: bigint;
  readonly tools?: boolean;
  readonly label?: Readonly<Record<string, string>>;
  readonly at?: Date;
  readonly snapshot?: bigint;
  readonly rules?: boolean;
}

/** Adds `weir explain`: what a region would decide of a call, or decided of a recorded one, and why. */
export function addExplainCommand(program: Command): void {
  program
    .command("explain")
    .description(
      "say what a region would decide of a call, with the code that its routers run; exits 1 when denied. A described call needs --key and --model, a recorded one --call. What a router has counted, and which targets it leaves alone for a while, only that router knows",
    )
    .requiredOption("--region <id>", "region whose routers would decide")
    .option("--key <id>", "id of the key that asks")
    .option("--model <id>", "model that is asked for")
    .option("--event <uuid>", "id of the call, which decides the draw among weighted targets")
    .option("--call <uuid>", "id of a recorded call, from its answer's x-request-id: its decision is run again")
    .option("--operation <name>", "chat or embedding", readOperation, Operation.CHAT)
    .option("--streamed", "a stream is asked for")
    .option("--max-output-tokens <count>", "the most tokens of an answer that are asked for", readCount)
    .option("--input-bytes <count>", "bytes of the request's body", readCount)
    .option("--tools", "the request offers the model a tool")
    .option("--label <name=value>", "a label, in place of those of the key; again for several", collectLabel)
    .option("--at <time>", "when the call arrives, such as 2026-12-24T22:00:00+01:00; default now", parseTime)
    .option(
      "--snapshot <version>",
      "version of the region's snapshot; default the latest, or that of the recorded call",
      readCount,
    )
    .option("--rules", "list also the rules that do not match, and which part of them does not")
    .action(async (options: ExplainOptions, command: Command) => {
      const { addresses, output } = getContext(command);
      const request =
        options.call === undefined
          ? describeCall(options)
          : await findRecordedCall(addresses.audit, options.region, options.call);
      const response = await withClient(addresses.policy, ExplainService, (client) =>
        client.explain(
          { ...request, ...(options.snapshot !== undefined && { snapshotVersion: options.snapshot }) },
          CALL_OPTIONS,
        ),
      );
      printMessage(output, ExplainResponseSchema, response, () => formatExplanation(response, options));
      process.exitCode = response.denied ? 1 : 0;
    });
}

function describeCall(options: ExplainOptions) {
  const { region, key, model, event, operation, at } = options;
  if (key === undefined || model === undefined) {
    throw new Error("Cannot explain: name a recorded call with --call, or describe one with --key and --model");
  }
  return {
    region,
    keyId: key,
    model,
    eventId: event ?? "",
    operation,
    streamed: options.streamed ?? false,
    facts: {
      maxOutputTokens: options.maxOutputTokens ?? 0n,
      inputBytes: options.inputBytes ?? 0n,
      hasTools: options.tools ?? false,
      labels: Object.entries(options.label ?? {}).map(([name, value]) => ({ name, value })),
    },
    ...(at !== undefined && { arrivedAt: timestampFromDate(at) }),
  };
}

function formatExplanation(response: ExplainResponse, { rules: isWhole = false }: ExplainOptions): string {
  const { versions, limits, candidates } = response;
  return [
    response.denied ? `Denied: ${response.denied}: ${escapeControl(response.message)}` : "Would begin",
    `Under snapshot ${versions?.snapshotVersion ?? 0} and keyring ${versions?.keyringVersion ?? 0}`,
    `Counted by limits: ${limits.join(", ") || "none"}`,
    ...(response.outputCap > 0n ? [`At most ${response.outputCap} tokens of each answer`] : []),
    ...(response.priorityClass > 0 ? [`Priority class: ${nameOf(PriorityClass, response.priorityClass)}`] : []),
    ...formatRules(response, isWhole),
    ...(candidates.length > 0 ? ["", formatCandidates(candidates)] : []),
  ].join("\n");
}

function formatRules({ rules }: ExplainResponse, isWhole: boolean): string[] {
  const shown = rules.filter(({ answer }) => isWhole || answer !== RuleAnswer.NOT_MATCHED);
  const rest = rules.length - shown.length;
  const hint = rest === 0 ? [] : [`Rules that do not match: ${rest} (--rules lists them)`];
  if (shown.length === 0) return hint;
  const rows = shown.map(({ rule, effect, answer, because }) => [
    rule,
    nameOf(RuleEffect, effect),
    nameOf(RuleAnswer, answer),
    because,
  ]);
  return [...hint, "", formatTable(["rule", "effect", "answer", "because"], rows)];
}

function formatCandidates(candidates: readonly Candidate[]): string {
  return formatTable(
    ["target", "priority", "weight", "draw", "rejected", "by rule"],
    candidates.map(({ target, result, rule }) =>
      result.case === "score"
        ? [target, String(result.value.priority), String(result.value.weight), String(result.value.draw), "", ""]
        : [target, "", "", "", result.value ?? "", rule],
    ),
  );
}

function nameOf(names: Readonly<Record<string, number>>, value: number): string {
  const [name = String(value)] = Object.entries(names).find(([, number]) => number === value) ?? [];
  return name.toLowerCase().replaceAll("_", " ");
}

function readOperation(text: string): Operation {
  if (text === "chat") return Operation.CHAT;
  if (text === "embedding") return Operation.EMBEDDING;
  throw new InvalidArgumentError("must be chat or embedding");
}

function readCount(text: string): bigint {
  if (!/^[0-9]{1,15}$/.test(text)) throw new InvalidArgumentError("must be a whole number from 0");
  return BigInt(text);
}
