import { PolicyService } from "../../../gen/weir/policy/v1/policy_service_pb.ts";
import { WeirError } from "../../../services/shared/errors/weir-error.ts";
import { fromConnectError } from "../../../services/shared/errors/wire.ts";
import { CALL_OPTIONS, withClient } from "../../control-plane.ts";
import { printJson } from "../../output.ts";
import { formatFindings, hasError, type LocatedFinding, toFindingsJson } from "../../policy-tree/finding.ts";
import {
  isWorthChecking,
  locateFindings,
  type PolicyTree,
  readPolicyTree,
} from "../../policy-tree/read-policy-tree.ts";
import type { Context } from "../context.ts";

/** Options of `weir policy check`. */
export interface CheckOptions {
  /** Whether warnings fail the command too. Default no. */
  readonly strict?: boolean;
}

/** `weir policy check`: prints every finding; exits 1 when one is an error, or under `--strict` when there is any. */
export async function check(path: string, { strict = false }: CheckOptions, context: Context): Promise<void> {
  const findings = await findAll(readPolicyTree(path), context);
  printFindings(path, findings, context);
  process.exitCode = hasError(findings) || (strict && findings.length > 0) ? 1 : 0;
}

/**
 * All that is wrong with a tree: what its files say of themselves, and what policy says of what could be read. When policy can't be asked, what
 * is known without it is still told.
 */
async function findAll(tree: PolicyTree, { addresses }: Context): Promise<readonly LocatedFinding[]> {
  if (!isWorthChecking(tree)) return tree.findings;
  try {
    const { findings } = await withClient(addresses.policy, PolicyService, (client) =>
      client.checkPolicy({ policy: tree.policy }, CALL_OPTIONS),
    );
    return locateFindings(tree, findings);
  } catch (error) {
    if (tree.findings.length === 0) throw error;
    console.error(`Only the files were checked. ${fromConnectError(error).message}`);
    return tree.findings;
  }
}

/** Prints findings as the command's result. */
function printFindings(path: string, findings: readonly LocatedFinding[], { output }: Context): void {
  if (output === "json") printJson({ findings: toFindingsJson(findings) });
  else console.log(findings.length === 0 ? `${path}: no findings` : formatFindings(findings));
}

/** Prints the findings of a tree that policy can't take, and throws POLICY_REFUSED. `act` is what can't be done, such as "publish policy". */
export function refuse(act: string, path: string, findings: readonly LocatedFinding[], context: Context): never {
  printFindings(path, findings, context);
  throw new WeirError("POLICY_REFUSED", `Cannot ${act}: "${path}" has errors`, { facts: { path } });
}

/**
 * Asks policy for something with a tree. When the files or policy object to it, prints every finding at its place and throws
 * POLICY_REFUSED.
 */
export async function askWithTree<Result>(
  act: string,
  path: string,
  context: Context,
  ask: (tree: PolicyTree) => Promise<Result>,
): Promise<Result> {
  const tree = readPolicyTree(path);
  if (tree.findings.length > 0) refuse(act, path, await findAll(tree, context), context);
  try {
    return await ask(tree);
  } catch (error) {
    // A refusal names the first findings only, and not where they stand.
    if (fromConnectError(error).reason === "POLICY_REFUSED") refuse(act, path, await findAll(tree, context), context);
    throw error;
  }
}
