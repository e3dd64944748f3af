// What the log refuses to operators whose roles hold in one organisation or environment; the gate before it is tested in shared/mesh.
import { type Client, createClient } from "@connectrpc/connect";
import { afterAll, beforeAll, expect, it } from "vitest";
import { AuditService } from "../../gen/weir/audit/v1/audit_service_pb.ts";
import { startPostgres, type TestPostgres } from "../../test/parts.ts";
import { createTestOperators } from "../shared/authority/operators.fixture.ts";
import { ManualClock, systemClock } from "../shared/clock.ts";
import { createPool, type Pool } from "../shared/database/pool.ts";
import { tell } from "../shared/errors/refusal.fixture.ts";
import { createMeshTransport } from "../shared/mesh/client.ts";
import { Health } from "../shared/mesh/health.ts";
import { type MeshServer, startMeshServer } from "../shared/mesh/server.ts";
import { generateNoteKey } from "../shared/note/note.ts";
import { createLog } from "../shared/telemetry/log.ts";
import { createAuditService } from "./audit-service.ts";
import { integrate } from "./log/integrate.ts";
import { readLogKeys } from "./log/keys.ts";
import { sequence } from "./log/sequence.ts";
import { signCheckpoint } from "./log/sign-checkpoint.ts";
import { takeLead } from "./store/log-state.ts";
import { migrateStore } from "./store/migrate-store.ts";

const { authority, tokens } = createTestOperators({
  mesh: [{ roles: ["ROLE_AUDITOR"], organisation: "*" }],
  acme: [{ roles: ["ROLE_AUDITOR"], organisation: "acme" }],
  acmeTest: [{ roles: ["ROLE_AUDITOR"], organisation: "acme", environment: "test" }],
  /** Has roles in the whole mesh, of which none is for records. */
  publisher: [
    { roles: ["ROLE_PUBLISHER", "ROLE_KEY_MANAGER"], organisation: "*" },
    { roles: ["ROLE_AUDITOR"], organisation: "acme" },
  ],
});
type Operator = keyof typeof tokens;

const ORIGIN = "weir.local/audit/eu";
const log = createLog({ service: "test", level: "silent" });
const idOf = (seq: number) => `019a0000-0000-7000-8000-${seq.toString(16).padStart(12, "0")}`;
/** Whose the records are, by number; the last belongs to the mesh, and no checkpoint covers the last of each organisation. */
const OWNERS = ["acme", "other", "", "acme", "other"];
const COVERED = 3;
const ABSENT = idOf(99);
let postgres: TestPostgres;
let pool: Pool;
let server: MeshServer;
let as: Record<Operator, Client<typeof AuditService>>;
const transports: ReturnType<typeof createMeshTransport>[] = [];

beforeAll(async () => {
  postgres = await startPostgres();
  const url = postgres.url("audit_eu");
  await migrateStore({ url, clock: systemClock, log, signal: AbortSignal.timeout(30_000) });
  pool = createPool({ url, log });
  const lead = await takeLead(pool, ORIGIN);
  const { signer, identity } = readLogKeys({ origin: ORIGIN, signerKey: generateNoteKey(ORIGIN).signerKey });
  for (const [seq, organisation] of OWNERS.entries()) {
    const position = { region: "eu", producer: "eu-1", boot: "boot-1", seq: BigInt(seq + 1) };
    const record = Buffer.from(`record ${seq}`);
    await sequence(pool, lead, [{ recordId: idOf(seq), organisation, record, position, payload: record }], []);
    if (seq + 1 !== COVERED) continue;
    await integrate(pool, lead);
    await signCheckpoint(pool, lead, { identity, signer, clock: new ManualClock() }, undefined);
  }
  server = await startMeshServer({
    listen: { host: "127.0.0.1", port: 0 },
    authority,
    routes: (router) => router.service(AuditService, createAuditService(pool)),
    services: [AuditService],
    reflection: false,
    health: new Health(),
    log,
  });
  as = Object.fromEntries(Object.entries(tokens).map(([name, token]) => [name, connect(token)])) as typeof as;
}, 60_000);

afterAll(async () => {
  for (const transport of transports) transport.close();
  await server?.close();
  await pool?.end();
  await postgres?.stop();
});

function connect(token: string) {
  const transport = createMeshTransport({ addresses: [`127.0.0.1:${server.address.port}`], token: () => token });
  transports.push(transport);
  return createClient(AuditService, transport);
}

const ASKS: Readonly<Record<string, (who: Operator, recordId: string) => Promise<unknown>>> = {
  GetRecord: (who, recordId) => as[who].getRecord({ recordId }),
  "GetInclusionProof of the latest checkpoint": (who, recordId) => as[who].getInclusionProof({ recordId }),
  "GetInclusionProof of a checkpoint that is there": (who, recordId) =>
    as[who].getInclusionProof({ recordId, treeSize: BigInt(COVERED) }),
  "GetInclusionProof of one that is not": (who, recordId) => as[who].getInclusionProof({ recordId, treeSize: 2n }),
};

it.each(Object.entries(ASKS))(
  "%s answers for a record beyond the operator as for one that is not there",
  async (_, ask) => {
    const beyond: readonly (readonly [Operator, readonly number[]])[] = [
      ["acme", [1, 2, 4]],
      ["acmeTest", [0, 1, 2, 3, 4]],
      ["publisher", [1, 2, 4]],
    ];

    for (const [who, numbers] of beyond) {
      const absent = await tell(ask(who, ABSENT), ABSENT);
      expect(absent).toContain("NOT_FOUND");
      for (const id of numbers.map(idOf)) expect(await tell(ask(who, id), id), `${who} ${id}`).toBe(absent);
    }
  },
);

it("shows and proves to an auditor the records of their organisation, and to one of the mesh all", async () => {
  const rows: readonly (readonly [Operator, number])[] = [
    ["acme", 0],
    ["publisher", 0],
    ["mesh", 0],
    ["mesh", 1],
    ["mesh", 2],
  ];

  for (const [who, seq] of rows) {
    const { record, hashes } = await as[who].getInclusionProof({ recordId: idOf(seq) });
    expect([record?.organisation, hashes.length > 0], `${who} ${seq}`).toEqual([OWNERS[seq], true]);
    expect(await tell(as[who].getRecord({ recordId: idOf(seq) }), "")).toBe("OK");
  }
});

it("lists records of the operator's organisation, and refuses the rest in the same words whether it is there or not", async () => {
  const list = (who: Operator, organisation: string) =>
    tell(as[who].listRecords({ organisation }), organisation || "?");
  const { records } = await as.acme.listRecords({ organisation: "acme" });
  const { records: all } = await as.mesh.listRecords({});

  expect(records.map(({ recordId }) => recordId)).toEqual([0, 3].map(idOf));
  expect(all).toHaveLength(OWNERS.length);
  for (const who of ["acme", "acmeTest", "publisher"] as const) {
    expect(await list(who, "other")).toContain("PERMISSION_DENIED");
    expect(await list(who, "other")).toBe(await list(who, "nowhere"));
    expect(await list(who, "")).toContain("PERMISSION_DENIED");
  }
  expect(await list("acmeTest", "acme")).toContain("PERMISSION_DENIED");
});

it("tells an operator of any place of checkpoints, which hold no record", async () => {
  const { checkpoints } = await as.acmeTest.listCheckpoints({});

  expect(checkpoints.map(({ treeSize }) => treeSize)).toEqual([BigInt(COVERED)]);
});
