import { EventEmitter } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { startPostgres, type TestPostgres } from "../../../test/parts.ts";
import { ManualClock } from "../clock.ts";
import { createLog } from "../telemetry/log.ts";
import { isUniqueViolation } from "./database-error.ts";
import { migrate, migrateWhenUp } from "./migrate.ts";
import { createPool, type Pool, query } from "./pool.ts";
import { transaction } from "./transaction.ts";

const log = createLog({ service: "test", level: "silent" });
let postgres: TestPostgres;
let pool: Pool;
let directory: string;

beforeAll(async () => {
  postgres = await startPostgres();
  pool = createPool({ url: postgres.url("policy"), log });
  directory = mkdtempSync(join(tmpdir(), "weir-test-migrations-"));
}, 60_000);

afterAll(async () => {
  await pool?.end();
  await postgres?.stop();
  rmSync(directory, { recursive: true, force: true });
});

function writeMigration(name: string, up: string): void {
  writeFileSync(join(directory, name), `-- Up Migration\n${up}\n-- Down Migration\n`);
}

describe("createPool()", () => {
  it("keeps int8 exact beyond 2^53, single and in arrays", async () => {
    const exact = 9_007_199_254_740_993n;

    const rows = await query(pool, "select $1::bigint as one, $2::bigint[] as many, '{}'::bigint[] as none", [
      exact,
      [exact, -1n],
    ]);

    expect(rows).toEqual([{ one: exact, many: [exact, -1n], none: [] }]);
  });

  it("gives a date as its text, in no time zone", async () => {
    expect(await query(pool, "select date '2026-03-29' as day")).toEqual([{ day: "2026-03-29" }]);
  });

  it("answers UNAVAILABLE, without the password, when nothing listens", async () => {
    const away = createPool({ url: "postgres://policy:opensesame@127.0.0.1:1/policy", log });

    const error = await query(away, "select 1").catch((caught: unknown) => caught);

    expect(error).toMatchObject({ reason: "UNAVAILABLE" });
    expect(String(error)).not.toContain("opensesame");
    await away.end();
  });

  it("outlives a server that greets and says within the same breath that it ends", async () => {
    // AuthenticationOk, ReadyForQuery, ErrorResponse (https://www.postgresql.org/docs/current/protocol-message-formats.html).
    const last = Buffer.from("SFATAL\0C57P01\0Mterminating connection due to unexpected postmaster exit\0\0");
    const head = Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 0, 0x5a, 0, 0, 0, 5, 0x49, 0x45, 0, 0, 0, last.length + 4]);
    const server = createServer((socket) => socket.once("data", () => socket.end(Buffer.concat([head, last]))));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const dying = createPool({ url: `postgres://policy:opensesame@127.0.0.1:${port}/policy`, log });

    const answer = transaction(dying, async () => "committed");

    await expect(answer).rejects.toMatchObject({ reason: "UNAVAILABLE" });
    await dying.end();
    server.close();
  });
});

describe("query(), before migrations have run", () => {
  it.each([
    ["a table", "select * from not_there_yet"],
    ["a column", "select not_there_yet from pg_class"],
  ])("answers UNAVAILABLE when %s is missing, alone and in a transaction", async (_, text) => {
    const [alone, within] = await Promise.allSettled([
      query(pool, text),
      transaction(pool, (client) => client.query(text)),
    ]);

    const notReady = { reason: "UNAVAILABLE", message: expect.stringContaining("the database is not ready") };
    expect(alone).toMatchObject({ reason: notReady });
    expect(within).toMatchObject({ reason: notReady });
  });
});

describe("migrate()", () => {
  it("applies each migration once, whoever of several processes comes first", async () => {
    writeMigration("001_thing.sql", "create table thing (id bigint primary key, name text not null);");
    const options = { url: postgres.url("policy"), directory, log };

    await Promise.all([migrate(options), migrate(options), migrate(options)]);
    await migrate(options);

    expect(await query(pool, "select name from migration")).toEqual([{ name: "001_thing" }]);
  });

  it("leaves the old schema when a later migration is wrong, and goes on when it is mended", async () => {
    writeMigration("002_more.sql", "create table more (id bigint);");
    writeMigration("003_wrong.sql", "create tabel;");
    const options = { url: postgres.url("policy"), directory, log };

    const error = await migrate(options).catch((caught: unknown) => caught);

    expect(error).toMatchObject({ reason: "INTERNAL" });
    expect(await query(pool, "select to_regclass('more') as more")).toEqual([{ more: null }]);
    writeMigration("003_wrong.sql", "create table right_now (id bigint);");
    await migrate(options);
    expect(await query(pool, "select to_regclass('right_now')::text as there")).toEqual([{ there: "right_now" }]);
  });
});

describe("migrateWhenUp()", () => {
  it("waits for a database that is away, and ends when it is told to", async () => {
    const clock = new ManualClock();
    const ending = new AbortController();
    const url = "postgres://weir:opensesame@127.0.0.1:1/weir";

    const waiting = migrateWhenUp({ url, directory, log, clock, signal: ending.signal });
    await clock.whenSleeping();
    clock.advance(1_000);
    await clock.whenSleeping();
    ending.abort();

    await expect(waiting).resolves.toBeUndefined();
  });

  it.each([
    ["is no SQL", "create tabel;"],
    ["needs a table that is not there", "alter table nowhere add column id bigint;"],
  ])("does not wait for a migration to mend itself that %s", async (_, up) => {
    const wrong = mkdtempSync(join(tmpdir(), "weir-test-migrations-"));
    writeFileSync(join(wrong, "001_wrong.sql"), `-- Up Migration\n${up}`);
    const options = { url: postgres.url("metering"), directory: wrong, log, clock: new ManualClock() };

    const waiting = migrateWhenUp({ ...options, signal: new AbortController().signal });

    await expect(waiting).rejects.toMatchObject({ reason: "INTERNAL" });
    rmSync(wrong, { recursive: true });
  });

  it("does not wait for a database that is there, with a history that this build does not know", async () => {
    const other = mkdtempSync(join(tmpdir(), "weir-test-migrations-"));
    writeFileSync(join(other, "000_before.sql"), "-- Up Migration\nselect 1;");
    writeFileSync(join(other, "001_thing.sql"), "-- Up Migration\nselect 1;");
    const options = { url: postgres.url("policy"), directory: other, log, clock: new ManualClock() };

    const waiting = migrateWhenUp({ ...options, signal: AbortSignal.timeout(20_000) });

    await expect(waiting).rejects.toMatchObject({ reason: "INTERNAL" });
    rmSync(other, { recursive: true });
  });
});

describe("transaction()", () => {
  it("does not wait for a rollback of a server that did not answer, and gives up the connection", async () => {
    const asked: string[] = [];
    const released: unknown[] = [];
    const cut = vi.fn();
    const frozen = Object.assign(new EventEmitter(), {
      query: (text: string) => {
        asked.push(text);
        return text === "begin" ? Promise.resolve({ rows: [] }) : Promise.reject(new Error("Query read timeout"));
      },
      release: (broken: unknown) => released.push(broken),
      connection: { stream: { destroy: cut } },
    });
    const frozenPool = { connect: async () => frozen } as unknown as Pool;

    const attempt = transaction(frozenPool, async (client) => await query(client, "select 1"));

    await expect(attempt).rejects.toMatchObject({ reason: "UNAVAILABLE" });
    expect([asked, released]).toEqual([["begin", "select 1"], [true]]);
    expect(cut).toHaveBeenCalledOnce();
  });

  it("throws when PostgreSQL rolls back what it was asked to commit, since a statement had failed and nobody said so", async () => {
    const attempt = transaction(pool, async (client) => {
      await query(client, "insert into thing values (7, 'seven')");
      await query(client, "select 1 / 0").catch(() => {});
    });

    await expect(attempt).rejects.toMatchObject({ reason: "INTERNAL" });
    expect(await query(pool, "select id from thing where id = 7")).toEqual([]);
  });

  it("leaves nothing of a function that throws, and throws what it threw", async () => {
    const refusal = new TypeError("no");

    const attempt = transaction(pool, async (client) => {
      await query(client, "insert into thing values (1, 'one')");
      throw refusal;
    });

    await expect(attempt).rejects.toBe(refusal);
    expect(await query(pool, "select id from thing")).toEqual([]);
  });

  it("tells a violated constraint as ARGUMENT_INVALID with its name, and not the row", async () => {
    const attempt = transaction(pool, async (client) => {
      await query(client, "insert into thing values (7, 'secret name'), (7, 'other')");
    });

    const error = await attempt.catch((caught: unknown) => caught);
    expect(error).toMatchObject({ reason: "ARGUMENT_INVALID", facts: { constraint: "thing_pkey" } });
    expect(isUniqueViolation(error, "thing_pkey")).toBe(true);
    expect(String(error)).not.toContain("secret name");
  });

  it("is cut by its signal: the server rolls back and the pool stays usable", async () => {
    const stopping = new AbortController();
    const attempt = transaction(
      pool,
      async (client) => {
        await query(client, "insert into thing values (2, 'two')");
        setImmediate(() => stopping.abort());
        await query(client, "select pg_sleep(60)");
      },
      { signal: stopping.signal },
    );

    // Not the server's own limit for a statement, which would end it too.
    const cause = expect.objectContaining({ message: "Connection terminated" });
    await expect(attempt).rejects.toMatchObject({ reason: "UNAVAILABLE", cause });
    expect(await query(pool, "select id from thing")).toEqual([]);
  });

  it("answers UNAVAILABLE when the server is killed within it, and works again after its restart", async () => {
    const attempt = transaction(pool, async (client) => {
      await query(client, "insert into thing values (3, 'three')");
      await postgres.kill();
      await query(client, "select 1");
    });

    await expect(attempt).rejects.toMatchObject({ reason: "UNAVAILABLE" });
    await postgres.restart();
    await transaction(pool, async (client) => {
      await query(client, "insert into thing values (4, 'four')");
    });
    expect(await query(pool, "select id from thing")).toEqual([{ id: 4n }]);
  });
});
