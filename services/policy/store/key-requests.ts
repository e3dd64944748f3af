import { type PoolClient, query } from "../../shared/database/pool.ts";

/** For how long a repeat of a change is known as one, in days; KeyService says so. */
const REMEMBER_DAYS = 30;

/** SHA-256 of the request of this id by this operator, when its change was done. */
export async function findRequestDigest(
  client: PoolClient,
  requestId: string,
  requestedBy: string,
): Promise<Uint8Array | undefined> {
  const rows = await query<{ digest: Buffer }>(
    client,
    "select digest from key_request where request_id = $1 and requested_by in ($2, '') order by requested_by desc",
    [requestId, requestedBy],
  );
  return rows[0]?.digest;
}

/** Remembers that a change was done, and forgets those of long ago. */
export async function rememberRequest(
  client: PoolClient,
  request: {
    readonly requestId: string;
    readonly requestedBy: string;
    readonly digest: Uint8Array;
    readonly at: Date;
  },
): Promise<void> {
  await query(client, "insert into key_request (request_id, requested_by, digest, done_at) values ($1, $2, $3, $4)", [
    request.requestId,
    request.requestedBy,
    Buffer.from(request.digest),
    request.at,
  ]);
  await query(client, "delete from key_request where done_at < $1::timestamptz - $2 * interval '1 day'", [
    request.at,
    REMEMBER_DAYS,
  ]);
}
