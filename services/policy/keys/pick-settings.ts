import type { KeySettings, UpdateKeyRequest } from "../../../gen/weir/policy/v1/key_service_pb.ts";
import { type FieldViolation, WeirError } from "../../shared/errors/weir-error.ts";

/** The settings of a key that can be changed, by their names in the proto. */
const SETTINGS = {
  display_name: "displayName",
  models: "models",
  requests_per_minute: "requestsPerMinute",
  expires_at: "expiresAt",
  labels: "labels",
  regions: "regions",
  tools: "tools",
  strict_after: "strictAfter",
} as const satisfies Readonly<Record<string, keyof KeySettings>>;

/** The settings that a request changes: those that its mask names, with `undefined` for one that is to be absent. */
export type ChangedSettings = Partial<Pick<KeySettings, (typeof SETTINGS)[keyof typeof SETTINGS]>>;

/** Picks what the mask names. Throws ARGUMENT_INVALID for an empty mask and for a name that is none, or there twice. */
export function pickSettings({ settings, updateMask }: UpdateKeyRequest): ChangedSettings {
  const paths = updateMask?.paths ?? [];
  const violations: FieldViolation[] = [];
  if (paths.length === 0) violations.push({ field: "update_mask", description: "must name a field of settings" });
  paths.forEach((path, index) => {
    const field = `update_mask.paths[${index}]`;
    if (!Object.hasOwn(SETTINGS, path)) violations.push({ field, description: `"${path}" is no field of settings` });
    else if (paths.indexOf(path) !== index) violations.push({ field, description: `"${path}" is there twice` });
  });
  if (violations.length > 0) {
    const list = violations.map(({ field, description }) => `${field} ${description}`).join("; ");
    throw new WeirError("ARGUMENT_INVALID", `Cannot update key: ${list}`, { violations });
  }
  return Object.fromEntries(
    paths.map((path) => {
      const name = SETTINGS[path as keyof typeof SETTINGS];
      return [name, settings?.[name]];
    }),
  );
}
