/** The life of a key's grant: each act takes the grant before and returns the next one; a revoked grant is never edited. */
import { clone, create } from "@bufbuild/protobuf";
import { timestampFromDate, timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { KeySettings } from "../../../gen/weir/policy/v1/key_service_pb.ts";
import { type KeyGrant, KeyGrantSchema, KeySecretSchema } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { type AcceptedSecret, listSecrets } from "../../shared/decision/key-secrets.ts";

/** Whose a key is. */
export type KeyTenant = Pick<KeyGrant, "organisation" | "team" | "app" | "environment">;

/** What an operator sets of a grant. */
export type GrantSettings = Pick<
  KeySettings,
  "models" | "requestsPerMinute" | "expiresAt" | "labels" | "regions" | "tools" | "strictAfter"
>;

/** The grant of a new key. Nothing of the key but its hash is in it. */
export function createGrant(
  key: { readonly keyId: string; readonly sha256: Uint8Array },
  { organisation, team, app, environment }: KeyTenant,
  settings: GrantSettings,
): KeyGrant {
  const grant = create(KeyGrantSchema, { keyId: key.keyId, organisation, team, app, environment });
  Object.assign(grant, toOrdered(settings));
  return placeSecrets(grant, [{ sha256: key.sha256, expiresAtMs: Number.POSITIVE_INFINITY }]);
}

/** The grant with other settings; those that are not named stay. */
export function updateGrant(grant: KeyGrant, settings: Partial<GrantSettings>): KeyGrant {
  return edit(grant, (next) => Object.assign(next, toOrdered(settings)));
}

/**
 * The grant with a new secret. The one before is good for `overlapMs` from `at`; of an older one nothing stays, so that there are
 * never more than two.
 */
export function rotateGrant(grant: KeyGrant, sha256: Uint8Array, at: Date, overlapMs: number): KeyGrant {
  const before = listSecrets(grant).find(({ expiresAtMs }) => expiresAtMs === Number.POSITIVE_INFINITY);
  const secrets = [{ sha256, expiresAtMs: Number.POSITIVE_INFINITY }];
  if (before !== undefined && overlapMs > 0) {
    secrets.push({ sha256: before.sha256, expiresAtMs: at.getTime() + overlapMs });
  }
  return placeSecrets(clone(KeyGrantSchema, grant), secrets);
}

/** The grant of a disabled key: it keeps all that it needs to be enabled again. */
export function disableGrant(grant: KeyGrant, at: Date): KeyGrant {
  return edit(grant, (next) => {
    next.disabledAt = timestampFromDate(at);
  });
}

/** The grant of a key that is enabled again. */
export function enableGrant(grant: KeyGrant): KeyGrant {
  return edit(grant, (next) => delete next.disabledAt);
}

/** The grant of a revoked key: it stays, so that a refusal can name its reason, without anything that a secret could match. */
export function revokeGrant(grant: KeyGrant, at: Date): KeyGrant {
  return edit(placeSecrets(clone(KeyGrantSchema, grant), []), (next) => {
    next.revokedAt = timestampFromDate(at);
  });
}

/** Until when the secret before the last rotation is good; absent when there is none, or its time is over. */
export function findOldSecretExpiry(grant: KeyGrant, nowMs: number): number | undefined {
  const old = listSecrets(grant).find(({ expiresAtMs }) => expiresAtMs !== Number.POSITIVE_INFINITY);
  return old !== undefined && old.expiresAtMs > nowMs ? old.expiresAtMs : undefined;
}

function edit(grant: KeyGrant, change: (next: KeyGrant) => unknown): KeyGrant {
  const next = clone(KeyGrantSchema, grant);
  change(next);
  return placeSecrets(next, listSecrets(next));
}

/**
 * Puts the secrets where those who would skip a condition do not find them: a router of before conditions reads `secretSha256s`
 * alone. It refuses such a key, and goes on hearing of revocations, which it would not if a head required a feature that it lacks.
 */
function placeSecrets(grant: KeyGrant, secrets: readonly AcceptedSecret[]): KeyGrant {
  const isPlain = ({ expiresAtMs }: AcceptedSecret): boolean =>
    expiresAtMs === Number.POSITIVE_INFINITY && !hasCondition(grant);
  grant.secretSha256s = secrets.filter(isPlain).map(({ sha256 }) => sha256);
  grant.secrets = secrets
    .filter((secret) => !isPlain(secret))
    .map(({ sha256, expiresAtMs }) =>
      create(KeySecretSchema, {
        sha256,
        ...(expiresAtMs !== Number.POSITIVE_INFINITY && { expiresAt: timestampFromMs(expiresAtMs) }),
      }),
    );
  return grant;
}

function hasCondition({ disabledAt, regions, tools, strictAfter }: KeyGrant): boolean {
  return disabledAt !== undefined || regions.length > 0 || tools !== undefined || strictAfter !== undefined;
}

const SETTINGS = ["models", "requestsPerMinute", "expiresAt", "labels", "regions", "tools", "strictAfter"] as const;

/** The settings that are named, and nothing else of the message; in one order, so that the same settings give the same bytes. */
function toOrdered(settings: Partial<GrantSettings>): Partial<GrantSettings> {
  const named = SETTINGS.filter((name) => name in settings).map((name) => [name, settings[name]]);
  const { models, regions, labels, tools } = settings;
  return {
    ...Object.fromEntries(named),
    ...(models && { models: [...models].sort() }),
    ...(regions && { regions: [...regions].sort() }),
    ...(labels && { labels: Object.fromEntries(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1))) }),
    ...(tools && { tools: { ...tools, names: [...tools.names].sort() } }),
  };
}
