import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startPostgres, type TestPostgres } from "../../../test/parts.ts";
import { createLog } from "../telemetry/log.ts";
import {
  boolArray,
  byteaArray,
  dateArray,
  int2Array,
  int8Array,
  textArray,
  timestamptzArray,
  uuidArray,
} from "./arrays.ts";
import { createPool, type Pool, query } from "./pool.ts";

let postgres: TestPostgres;
let pool: Pool;

beforeAll(async () => {
  postgres = await startPostgres();
  pool = createPool({ url: postgres.url("metering"), log: createLog({ service: "test", level: "silent" }) });
}, 60_000);

afterAll(async () => {
  await pool?.end();
  await postgres?.stop();
});

/** What the database's own refusal of data looks like. */
const refusal = expect.objectContaining({ reason: "ARGUMENT_INVALID" });
const same = <T>(value: T): T => value;

/** What PostgreSQL reads from an array, one row a value, in order. */
async function read<T>(type: string, array: Buffer): Promise<T[]> {
  const rows = await query<{ value: T }>(
    pool,
    `select value from unnest($1::${type}[]) with ordinality as new (value, place) order by place`,
    [array],
  );
  return rows.map(({ value }) => value);
}

describe("arrays", () => {
  // PostgreSQL's text has no NUL, and no half of a surrogate pair.
  const text = fc.string({ unit: "binary", maxLength: 20 }).map((value) => value.replaceAll("\0", "").toWellFormed());
  const cases: [string, fc.Arbitrary<unknown>, (values: never[]) => Buffer, ((value: never) => unknown)?][] = [
    ["text", text, (values) => textArray(values, same<string>)],
    ["uuid", fc.uuid(), (values) => uuidArray(values, same<string>)],
    ["int8", fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n), (values) => int8Array(values, same<bigint>)],
    ["int2", fc.integer({ min: -32_768, max: 32_767 }), (values) => int2Array(values, same<number>)],
    ["bool", fc.boolean(), (values) => boolArray(values, same<boolean>)],
    [
      "bytea",
      fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
      (values) => byteaArray(values, same<Uint8Array>),
    ],
    [
      "timestamptz",
      fc.integer({ min: Date.UTC(1900, 0, 1), max: Date.UTC(2200, 0, 1) }),
      (values) => timestamptzArray(values, same<number>),
      (value: Date) => value.getTime(),
    ],
    [
      "date",
      fc.integer({ min: -20_000, max: 60_000 }).map((day) => new Date(day * 86_400_000).toISOString().slice(0, 10)),
      (values) => dateArray(values, same<string>),
    ],
  ];

  it.each(cases)(
    "%s: PostgreSQL reads each value as it was, and none of none",
    async (type, value, encode, back = same) => {
      await fc.assert(
        fc.asyncProperty(fc.array(value, { maxLength: 30 }), async (values) => {
          const found = await read<never>(type, encode(values as never[]));

          expect(found.map(back)).toEqual(values);
        }),
        { numRuns: 25 },
      );
      expect(await read(type, encode([]))).toEqual([]);
    },
  );

  it("refuses what is no uuid, however it is wrong", () => {
    const wrong = ["", "nonsense", "0190a5d0-0000-7000-8000-00000000000", "0190a5d0-0000-7000-8000-00000000000g"];
    for (const id of [...wrong, "0190a5d0000070008000000000000000----"]) {
      expect(() => uuidArray([id], same)).toThrow(refusal);
    }
  });

  it("refuses numbers beyond their type", () => {
    expect(() => int8Array([2n ** 63n], same)).toThrow(refusal);
    expect(() => int2Array([32_768], same)).toThrow(refusal);
  });

  it("a text with NUL is refused by PostgreSQL as data, like any other", async () => {
    await expect(read("text", textArray(["a", "b\0c"], same))).rejects.toMatchObject({ reason: "ARGUMENT_INVALID" });
  });
});
