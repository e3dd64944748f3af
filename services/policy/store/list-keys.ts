import { type Pool, query } from "../../shared/database/pool.ts";
import { KEY_COLUMNS, type KeyRow, type StoredKey, toKey } from "./virtual-keys.ts";

/** Which keys are asked for. */
export interface KeyFilter {
  readonly organisation: string;
  /** Ids; empty means all. */
  readonly team: string;
  readonly app: string;
  readonly environment: string;
  /** Absent means all. */
  readonly state: "active" | "disabled" | "expired" | "revoked" | undefined;
  /** All of these must be there. */
  readonly labels: Readonly<Record<string, string>>;
}

/** Where in the list, and when it is asked. */
export interface KeyListPlace {
  /** Only keys made before this one; absent: from the newest. */
  readonly before: bigint | undefined;
  readonly limit: number;
  /** The instant that decides what has expired. */
  readonly now: Date;
}

/** At most `limit` keys that fit, newest first. */
export async function listKeys(pool: Pool, filter: KeyFilter, place: KeyListPlace): Promise<StoredKey[]> {
  const { text, values } = composeListKeys(filter, place);
  return (await query<KeyRow>(pool, text, values)).map(toKey);
}

/**
 * The question as SQL: conditions stand in it only where they are asked for, and as the indexes of the migration have them, so that
 * a page among 100,000 keys reads a page.
 */
export function composeListKeys(filter: KeyFilter, { before, limit, now }: KeyListPlace) {
  const values: unknown[] = [];
  const conditions: string[] = [];
  const bind = (value: unknown): string => `$${values.push(value)}`;
  conditions.push(`organisation = ${bind(filter.organisation)}`);
  for (const column of ["team", "app", "environment"] as const) {
    if (filter[column] !== "") conditions.push(`${column} = ${bind(filter[column])}`);
  }
  if (Object.keys(filter.labels).length > 0) conditions.push(`labels @> ${bind(JSON.stringify(filter.labels))}::jsonb`);
  if (before !== undefined) conditions.push(`position < ${bind(before)}`);
  const expired = () => `expires_at is not null and expires_at <= ${bind(now)}`;
  const notExpired = () => `(expires_at is null or expires_at > ${bind(now)})`;
  switch (filter.state) {
    case "active":
      conditions.push("revoked_version is null", "disabled_at is null", notExpired());
      break;
    case "disabled":
      conditions.push("revoked_version is null", "disabled_at is not null", notExpired());
      break;
    case "expired":
      conditions.push("revoked_version is null", expired());
      break;
    case "revoked":
      conditions.push("revoked_version is not null");
      break;
    case undefined:
      break;
  }
  const text = `select ${KEY_COLUMNS} from (
      select * from virtual_key where ${conditions.join(" and ")} order by position desc limit ${bind(limit)}
    ) k join keyring_entry e on e.id = k.key_id order by k.position desc`;
  return { text, values };
}
