import type { KeyGrant, ToolScope } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import type { PinnedPolicy } from "../../shared/snapshot/hold.ts";
import type { Denial } from "./admission.ts";

const NONE: readonly string[] = [];

/**
 * Whether a call offers a model a tool, or why its key may not offer it. Tools are read only for keys whose tools are limited, and where
 * a rule asks for them; of other calls it says that they offer none.
 */
export function checkTools(
  { tables }: PinnedPolicy,
  grant: KeyGrant,
  listTools: () => readonly string[],
): boolean | Denial {
  const isAsked = tables.hasRules && tables.getGrantFacts(grant).rules?.asksForTools === true;
  const offered = isAsked || grant.tools !== undefined ? listTools() : NONE;
  return (grant.tools && findToolDenial(grant, grant.tools, offered)) ?? offered.length > 0;
}

/** Why a key may not offer these tools to a model, or nothing when it may. */
function findToolDenial({ keyId }: KeyGrant, { names }: ToolScope, offered: readonly string[]): Denial | undefined {
  const tool = offered.find((name) => !names.includes(name));
  if (tool === undefined) return undefined;
  // What a caller wrote may be long and is repeated to nobody but that caller.
  const shown = tool.length <= 128 ? tool : `${tool.slice(0, 128)}…`;
  return {
    kind: "denial",
    reason: "TOOL_NOT_ALLOWED",
    message: `Cannot start call: key "${keyId}" may not offer the tool "${shown}"`,
    facts: { key_id: keyId, tool: shown },
  };
}
