import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type PolicyHarness, startHarness } from "../harness.fixture.ts";
import { composeListKeys, type KeyFilter } from "./list-keys.ts";

/** Enough that the planner does not read all of it because it is little. */
const KEYS = Number(process.env.TEST_KEYS ?? 20_000);
const ALL: KeyFilter = { organisation: "acme", team: "", app: "", environment: "", state: undefined, labels: {} };
let harness: PolicyHarness;

beforeAll(async () => {
  harness = await startHarness();
  await harness.reset();
  const { pool } = harness;
  await pool.query("insert into keyring (version, digest, created_at) values (1, '', now())");
  await pool.query(
    `insert into keyring_entry (id, grant_bytes, version)
     select 'key' || n, sha256(n::text::bytea) || sha256(n::text::bytea) || sha256(n::text::bytea), 1 from generate_series(1, $1) n`,
    [KEYS],
  );
  await pool.query(
    `insert into virtual_key (key_id, organisation, display_name, request_id, request_digest, created_at, team, app, environment,
       labels, expires_at, disabled_at, revoked_version)
     select 'key' || n, 'acme', 'a key', gen_random_uuid(), '', now(), 'team-' || n % 50, 'app-' || n % 200,
       case when n % 100 = 0 then 'staging' else 'production' end, jsonb_build_object('agent', 'a' || n % 1000),
       case when n % 300 = 0 then now() - interval '1 day' end, case when n % 500 = 0 then now() end, case when n % 70 = 0 then 1 end
     from generate_series(1, $1) n`,
    [KEYS],
  );
  await pool.query("vacuum analyze virtual_key, keyring_entry");
}, 120_000);
afterAll(() => harness.stop());

describe("composeListKeys()", () => {
  it.each<[string, Partial<KeyFilter>]>([
    ["all keys", {}],
    ["those of a team", { team: "team-7" }],
    ["those of an app", { app: "app-7" }],
    ["those of a rare environment", { environment: "staging" }],
    ["those with a label", { labels: { agent: "a7" } }],
    ["living ones", { state: "active" }],
    ["disabled ones", { state: "disabled" }],
    ["expired ones", { state: "expired" }],
    ["revoked ones", { state: "revoked" }],
    ["those of a team with a label", { team: "team-7", labels: { agent: "a7" } }],
  ])("reads a page of %s by an index, from the newest and from the middle", async (name, filter) => {
    for (const before of [undefined, BigInt(KEYS / 2)]) {
      const { text, values } = composeListKeys({ ...ALL, ...filter }, { before, limit: 51, now: new Date() });

      const { rows } = await harness.pool.query(`explain (analyze, buffers) ${text}`, values);

      const plan = rows.map((row) => row["QUERY PLAN"] as string).join("\n");
      if (process.env.TEST_PLANS) console.log(`${name}, before ${before}\n${plan}\n`);
      expect(plan).not.toMatch(/Seq Scan/);
      const buffers = [...plan.matchAll(/Buffers: shared hit=(\d+)(?: read=(\d+))?/g)][0]!;
      expect(Number(buffers[1]) + Number(buffers[2] ?? 0)).toBeLessThan(1_500);
    }
  });
});
