import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startPostgres, type TestPostgres } from "../../../test/parts.ts";
import { ManualClock, systemClock } from "../../shared/clock.ts";
import { createPool, type Pool } from "../../shared/database/pool.ts";
import { createLog } from "../../shared/telemetry/log.ts";
import { type Leadership, type LeadOptions, tryToLead } from "./leadership.ts";

const log = createLog({ service: "test", level: "silent" });
let postgres: TestPostgres;
let pool: Pool;

beforeAll(async () => {
  postgres = await startPostgres();
  pool = createPool({ url: postgres.url("audit_eu"), log });
}, 60_000);

afterAll(async () => {
  await pool?.end();
  await postgres?.stop();
});

/** Leads as soon as nobody else does. */
async function lead(options: LeadOptions = { clock: systemClock }): Promise<Leadership> {
  for (;;) {
    const leadership = await tryToLead(pool, options);
    if (leadership) return leadership;
  }
}

describe("tryToLead()", () => {
  it("lets one lead at a time, and the next one when it is released", async () => {
    const first = await lead();
    expect(await tryToLead(pool, { clock: systemClock })).toBeUndefined();
    // Whoever stands by asks again and again, over one connection.
    const connections = pool.totalCount;
    expect(await tryToLead(pool, { clock: systemClock })).toBeUndefined();
    expect([pool.totalCount, pool.idleCount]).toEqual([connections, 1]);

    first.release();
    first.release();
    (await lead()).release();
  });

  it("a leader that says nothing loses the lead to another", async () => {
    // Its clock stands still, as that of a frozen process does, so it never renews.
    const frozen = await lead({ clock: new ManualClock(), leaseMs: 50 });
    if (!frozen.lost.aborted) await once(frozen.lost, "abort");

    const next = await lead();
    expect(next.lost.aborted).toBe(false);
    next.release();
    frozen.release();
  });

  it("a leader that renews keeps the lead", async () => {
    const clock = new ManualClock();
    const alive = await lead({ clock, leaseMs: 20_000 });
    for (let round = 0; round < 5; round++) {
      await clock.whenSleeping();
      clock.advance(5_000);
    }
    await clock.whenSleeping();
    expect(alive.lost.aborted).toBe(false);
    expect(await tryToLead(pool, { clock })).toBeUndefined();
    alive.release();
  });

  it("tells a leader whose database dies", async () => {
    const leadership = await lead();
    const lost = once(leadership.lost, "abort");
    await postgres.kill();
    await lost;
    leadership.release();
    await postgres.restart();
    (await lead()).release();
  });
});
