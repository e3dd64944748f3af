import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createPool, query } from "../../services/shared/database/pool.ts";
import { createLog } from "../../services/shared/telemetry/log.ts";
import { startPostgres, type TestPostgres } from "../../test/parts.ts";
import { OWNERS } from "./postgres.ts";

let postgres: TestPostgres;

beforeAll(async () => {
  postgres = await startPostgres();
}, 60_000);

afterAll(() => postgres.stop());

async function ask(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const pool = createPool({ url, max: 1, log: createLog({ service: "test", level: "silent" }) });
  try {
    return await query(pool, sql);
  } finally {
    await pool.end();
  }
}

describe("the PostgreSQL of the development mesh", () => {
  it.each(OWNERS)("gives %s a database of its own, in UTF8 and sorted by bytes", async (owner) => {
    const [row] = await ask(
      postgres.url(owner),
      `SELECT current_user AS role, pg_encoding_to_char(encoding) AS encoding, datcollate AS locale
       FROM pg_database WHERE datname = current_database()`,
    );

    expect(row).toEqual({ role: owner, encoding: "UTF8", locale: "C" });
  });

  it("lets no owner into the database of another, nor into those of the server", async () => {
    for (const owner of OWNERS) {
      for (const other of [...OWNERS.filter((name) => name !== owner), "postgres", "template1"]) {
        const url = new URL(postgres.url(owner));
        url.pathname = `/${other}`;
        await expect(ask(url.href, "SELECT 1"), `${owner} in ${other}`).rejects.toThrow();
      }
    }
  });

  it("lets nobody in without the password", async () => {
    const url = new URL(postgres.url("policy"));
    url.password = "guess";

    await expect(ask(url.href, "SELECT 1")).rejects.toThrow();
  });

  it("keeps what was committed when it is killed", async () => {
    await ask(postgres.url("policy"), "CREATE TABLE kept AS SELECT 7 AS value");

    await postgres.kill();
    await postgres.restart();

    expect(await ask(postgres.url("policy"), "SELECT value FROM kept")).toEqual([{ value: 7 }]);
    expect(await ask(postgres.url("policy"), "SELECT current_setting('fsync') AS fsync")).toEqual([{ fsync: "on" }]);
  });
});
