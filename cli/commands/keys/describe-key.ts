import { type Key, KeyState } from "../../../gen/weir/policy/v1/key_service_pb.ts";
import { formatSpan } from "../../key-options.ts";
import { escapeControl, formatTime } from "../../output.ts";

/** A key as lines of text, one for each thing that is said of it. */
export function describeKey(key: Key): string {
  const { tools, strictAfter, oldSecretExpiresAt } = key;
  const labels = Object.entries(key.labels).map(([name, value]) => `${name}=${value}`);
  const lines: readonly (readonly [string, string])[] = [
    ["key", key.keyId],
    ["name", key.displayName],
    ["tenant", `${key.organisation}/${key.team}/${key.app}, ${key.environment}`],
    ["state", describeState(key)],
    ["models", key.models.join(", ")],
    ["regions", key.regions.join(", ") || "all"],
    ["tools", tools === undefined ? "any" : tools.names.join(", ") || "none"],
    ["per minute", formatLimit(key)],
    ["strict after", strictAfter === undefined ? "never" : formatSpan(strictAfter)],
    ["labels", labels.join(", ") || "none"],
    ["created", formatTime(key.createdAt)],
    ["rotated", formatTime(key.rotatedAt) || "never"],
    ...(oldSecretExpiresAt ? [["old secret", `good until ${formatTime(oldSecretExpiresAt)}`] as const] : []),
    ["etag", key.etag],
  ];
  return lines.map(([name, value]) => `${name.padEnd(12)}  ${escapeControl(value)}`.trimEnd()).join("\n");
}

/** A key's own limit. */
export function formatLimit({ requestsPerMinute }: Key): string {
  return requestsPerMinute ? String(requestsPerMinute) : "no limit";
}

/** What a key is: good, or why it is not. */
export function describeState({ state, revokedAt, disabledAt, expiresAt }: Key): string {
  if (state === KeyState.REVOKED) return `revoked ${formatTime(revokedAt)}`;
  if (state === KeyState.EXPIRED) return `expired ${formatTime(expiresAt)}`;
  if (state === KeyState.DISABLED) return `disabled ${formatTime(disabledAt)}`;
  return expiresAt ? `good until ${formatTime(expiresAt)}` : "good";
}
