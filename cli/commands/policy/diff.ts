import { toJson } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import type { Policy } from "../../../gen/weir/policy/v1/policy_pb.ts";
import {
  ChangeKind,
  type DiffPolicyResponse,
  type PolicyChange,
  PolicyChangeSchema,
  PolicyService,
  PolicyVersionSchema,
} from "../../../gen/weir/policy/v1/policy_service_pb.ts";
import { CALL_OPTIONS, readPages, withClient } from "../../control-plane.ts";
import { escapeControl, printJson } from "../../output.ts";
import { formatFindings, toFindingsJson } from "../../policy-tree/finding.ts";
import { formatPlace, type Place } from "../../policy-tree/place.ts";
import { locateFindings, type PolicyTree } from "../../policy-tree/read-policy-tree.ts";
import type { Context } from "../context.ts";
import { askWithTree } from "./check.ts";
import { describeVersion } from "./version.ts";

/** Options of `weir policy diff`. */
export interface DiffOptions {
  /** Version to compare with. Absent: the latest. */
  readonly against?: bigint;
  /** Whether changes make the command exit 1, as `git diff --exit-code` does. Default no. */
  readonly exitCode?: boolean;
}

/** `weir policy diff`: prints in words what would change, and for whom, if a tree were published. */
export async function diff(path: string, options: DiffOptions, context: Context): Promise<void> {
  await askWithTree("compare policy", path, context, async (tree) => {
    const request = { policy: tree.policy, againstVersion: options.against ?? 0n };
    const response = await withClient(context.addresses.policy, PolicyService, (client) => askAll(client, request));
    if (context.output === "json") printJson(toDiffJson(tree, response));
    else console.log(formatDiff(tree, response));
    process.exitCode = options.exitCode === true && response.changes.length > 0 ? 1 : 0;
  });
}

/** What would change, with the changes of all pages. */
type Diff = Pick<DiffPolicyResponse, "against" | "changes" | "findings">;

async function askAll(
  client: Client<typeof PolicyService>,
  request: { readonly policy: Policy; readonly againstVersion: bigint },
): Promise<Diff> {
  const first = await client.diffPolicy(request, CALL_OPTIONS);
  if (first.nextPageToken === "") return first;
  const rest = await readPages(async (pageToken) => {
    const page = await client.diffPolicy({ ...request, pageToken: pageToken || first.nextPageToken }, CALL_OPTIONS);
    return { items: page.changes, nextPageToken: page.nextPageToken };
  });
  return { ...first, changes: [...first.changes, ...rest] };
}

function toDiffJson(tree: PolicyTree, { against, changes, findings }: Diff): object {
  return {
    ...(against && { against: toJson(PolicyVersionSchema, against) }),
    changes: changes.map((change) => ({
      ...(toJson(PolicyChangeSchema, change) as object),
      ...findPlace(tree, change),
    })),
    ...(findings.length > 0 && { findings: toFindingsJson(locateFindings(tree, findings)) }),
  };
}

/** Kinds that are about tenants; the others are about what the policy says and regions offer. */
const FOR_WHOM: ReadonlySet<ChangeKind> = new Set([
  ChangeKind.TENANT_GAINS,
  ChangeKind.TENANT_LOSES,
  ChangeKind.KEYS_LEFT,
]);

function formatDiff(tree: PolicyTree, { against, changes, findings }: Diff): string {
  const format = (change: PolicyChange): string => {
    const place = findPlace(tree, change);
    return `  ${escapeControl(change.message)}${place === undefined ? "" : `  [${escapeControl(formatPlace(place))}]`}`;
  };
  const what = changes.filter(({ kind }) => !FOR_WHOM.has(kind)).map(format);
  const whom = changes.filter(({ kind }) => FOR_WHOM.has(kind)).map(format);
  const total = changes.length;
  return [
    against === undefined ? "Against nothing: no version was published yet" : `Against ${describeVersion(against)}`,
    ...(what.length > 0 ? ["", "What changes", ...what] : []),
    ...(whom.length > 0 ? ["", "For whom", ...whom] : []),
    ...(findings.length > 0 ? ["", formatFindings(locateFindings(tree, findings))] : []),
    "",
    total === 0 ? "Nothing would change" : `${total} ${total === 1 ? "change" : "changes"}`,
  ].join("\n");
}

/** Where the tree says it. What goes stands in the version before, not here. */
function findPlace(tree: PolicyTree, { kind, field }: PolicyChange): Place | undefined {
  return field === "" || kind === ChangeKind.REMOVED ? undefined : tree.locate(field);
}
