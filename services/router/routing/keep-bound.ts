import type { SnapshotTarget } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import type { Format } from "../providers/dialect.ts";
import type { Upstreams } from "./upstreams.ts";

/** What decides whether a request can go to any target. */
export interface BoundRequest {
  readonly format: Format | undefined;
  readonly isBound?: boolean;
}

/**
 * Keeps those targets that can know what a request is bound to, such as an earlier answer: of the first provider that reads the
 * request's format, in their order. Which of several providers holds it nobody says, so a model for callers with state should lead
 * to one account. All when it is bound to nothing, and when no provider reads the format: each then refuses it by the field's name.
 */
export function keepBound(
  targets: readonly SnapshotTarget[],
  { format, isBound }: BoundRequest,
  upstreams: Pick<Upstreams, "get">,
): readonly SnapshotTarget[] {
  if (isBound !== true || format === undefined) return targets;
  const first = targets.find((target) => upstreams.get(target).ways.relayed.has(format));
  return first === undefined ? targets : targets.filter(({ provider }) => provider === first.provider);
}
