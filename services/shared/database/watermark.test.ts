import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, expect, it } from "vitest";
import { ProducerSchema } from "../../../gen/weir/type/v1/usage_pb.ts";
import { startPostgres, type TestPostgres } from "../../../test/parts.ts";
import { createLog } from "../telemetry/log.ts";
import { createPool, type Pool, query } from "./pool.ts";
import { transaction } from "./transaction.ts";
import { advance, findPosition, getWatermark, listMissing, type Position, watermarkMigration } from "./watermark.ts";

let postgres: TestPostgres;
let pool: Pool;

beforeAll(async () => {
  postgres = await startPostgres();
  pool = createPool({ url: postgres.url("metering"), log: createLog({ service: "test", level: "silent" }) });
  await query(pool, watermarkMigration);
}, 60_000);

afterAll(async () => {
  await pool?.end();
  await postgres?.stop();
});

const take = (boot: string, ...numbers: number[]): Promise<void> =>
  transaction(pool, (client) =>
    advance(
      client,
      numbers.map((number) => position(boot, BigInt(number))),
    ),
  );

const position = (boot: string, seq: bigint): Position => ({ region: "eu", producer: "eu-1", boot, seq });

it.each([
  ["without a number", { seq: 0n }],
  ["without a region", { region: "" }],
  ["of a name too long for an index", { instance: "x".repeat(65) }],
  ["of a name that PostgreSQL cannot store", { boot: "a\0b" }],
])("a fact %s has no place", (_, changes) => {
  const producer = { region: "eu", instance: "eu-1", boot: "b", seq: 1n };
  expect(findPosition(create(ProducerSchema, producer))).toEqual(position("b", 1n));
  expect(findPosition(create(ProducerSchema, { ...producer, ...changes }))).toBeUndefined();
});

it("a producer that nobody has heard of has a watermark of 0", async () => {
  expect(await getWatermark(pool, position("never", 0n))).toBe(0n);
});

it("the watermark stops below a gap and passes it when the gap is filled, in any order and with repeats", async () => {
  await take("a", 3, 1, 1);
  expect(await getWatermark(pool, position("a", 0n))).toBe(1n);
  await take("a", 5, 3);
  await take("a", 2);
  expect(await getWatermark(pool, position("a", 0n))).toBe(3n);
  await take("a", 4);
  expect(await getWatermark(pool, position("a", 0n))).toBe(5n);
  expect(await query(pool, "select * from producer_gap where boot = 'a'")).toEqual([]);
});

it("the watermark stops below a gap within what comes at once, also where that goes on from before", async () => {
  await take("within", 1, 3);
  expect(await getWatermark(pool, position("within", 0n))).toBe(1n);
  await take("within", 4, 6);
  await take("within", 2);
  expect(await getWatermark(pool, position("within", 0n))).toBe(4n);
});

it("what goes on from an intake that is not committed yet waits for it, and goes on from there", async () => {
  await take("w", 1);
  const begun = Promise.withResolvers<void>();
  const go = Promise.withResolvers<void>();
  const before = transaction(pool, async (client) => {
    await advance(client, [position("w", 2n), position("w", 3n)]);
    begun.resolve();
    await go.promise;
  });
  await begun.promise;

  const after = take("w", 4, 5);
  go.resolve();
  await Promise.all([before, after]);

  expect(await getWatermark(pool, position("w", 0n))).toBe(5n);
  expect(await query(pool, "select * from producer_gap where boot = 'w'")).toEqual([]);
});

it("what goes on above a gap leaves the gap", async () => {
  await take("g", 1, 3);

  await take("g", 4, 5);

  expect(await getWatermark(pool, position("g", 0n))).toBe(1n);
  await take("g", 2);
  expect(await getWatermark(pool, position("g", 0n))).toBe(5n);
});

it("two lives of one producer have a watermark each", async () => {
  await take("b", 1, 2);
  await take("c", 1);

  expect(await getWatermark(pool, position("b", 0n))).toBe(2n);
  expect(await getWatermark(pool, position("c", 0n))).toBe(1n);
});

it("a transaction that is rolled back moves no watermark", async () => {
  const attempt = transaction(pool, async (client) => {
    await advance(client, [position("d", 1n)]);
    throw new Error("no");
  });

  await expect(attempt).rejects.toThrow("no");
  expect(await getWatermark(pool, position("d", 0n))).toBe(0n);
});

it("many intakes at once that take in different parts leave no gap and no deadlock", async () => {
  const numbers = Array.from({ length: 60 }, (_, index) => index + 1);

  await Promise.all(
    Array.from({ length: 6 }, (_, part) =>
      transaction(pool, (client) =>
        advance(
          client,
          numbers
            .filter((number) => number % 6 === part)
            .flatMap((number) => [
              position(part % 2 ? "x" : "y", BigInt(number)),
              position(part % 2 ? "y" : "x", BigInt(number)),
            ]),
        ),
      ),
    ),
  );

  expect(await getWatermark(pool, position("x", 0n))).toBe(60n);
  expect(await getWatermark(pool, position("y", 0n))).toBe(60n);
});

it("what is left of a gap is as old as the gap was, a new gap is new", async () => {
  await take("e", 1, 10);
  await query(pool, "update producer_gap set since = '2026-01-01' where boot = 'e'");

  await take("e", 5, 20);

  const missing = await listMissing(pool, new Date("2026-01-02"));
  expect(missing.map(({ first, last }) => [first, last])).toEqual([
    [2n, 4n],
    [6n, 9n],
  ]);
});
