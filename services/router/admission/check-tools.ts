import type { KeyGrant, ToolScope } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import type { Denial } from "./admission.ts";

/** Why a key may not offer these tools to a model, or nothing when it may. */
export function findToolDenial(
  { keyId }: KeyGrant,
  { names }: ToolScope,
  offered: readonly string[],
): Denial | undefined {
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
