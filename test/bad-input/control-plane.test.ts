// Nonsense on our own APIs: policy, metering, audit. The answer is an error of the protocol that asked, with the fields at fault; the
// process lives on.
import { randomUUID } from "node:crypto";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { ProcessName } from "../../cli/up/mesh.ts";
import { type Mesh, startMesh } from "../mesh.ts";
import { sendRaw } from "./raw.ts";

let mesh: Mesh;
let pids: Record<string, number>;

const PROCESSES = ["policy", "metering", "audit-control", "audit-eu"] as const satisfies ProcessName[];

beforeAll(async () => {
  mesh = await startMesh({ name: "bad-control" });
  pids = readPids();
});

afterAll(() => mesh?.stop());

afterEach(() => {
  expect(readPids()).toEqual(pids);
  for (const name of PROCESSES) expect(mesh.processes[name].isRunning).toBe(true);
});

function readPids(): Record<string, number> {
  return Object.fromEntries(PROCESSES.map((name) => [name, mesh.processes[name].pid]));
}

/** A write or a read of each service, with the URL it is asked at and a request that would be right. */
const CALLS: [name: string, url: () => string, good: object][] = [
  [
    "policy",
    () => `http://${mesh.addresses.policy.address}/weir.policy.v1.KeyService/ListKeys`,
    { organisation: "demo" },
  ],
  [
    "metering",
    () => `http://${mesh.addresses.metering.address}/weir.metering.v1.SpendService/QuerySpend`,
    { organisation: "demo" },
  ],
  ["audit", () => `http://${mesh.addresses.audit.eu?.address}/weir.audit.v1.AuditService/ListRecords`, {}],
  [
    "the control plane's audit",
    () => `http://${mesh.addresses.audit.control?.address}/weir.audit.v1.AuditService/ListRecords`,
    {},
  ],
];

function post(url: string, body: string | Buffer, type = "application/json"): Promise<Response> {
  const headers = { "content-type": type, authorization: `Bearer ${mesh.adminKey}` };
  return fetch(url, { method: "POST", body: new Uint8Array(Buffer.from(body)), headers });
}

async function expectInvalid(response: Response): Promise<string> {
  const text = await response.text();
  expect({ status: response.status, text: text.slice(0, 500) }).toMatchObject({ status: 400 });
  expect(JSON.parse(text)).toMatchObject({ code: "invalid_argument", message: expect.stringMatching(/[a-z]{3}/) });
  return text;
}

describe.each(CALLS)("%s", (_, url, good) => {
  const body = (change: object) => JSON.stringify({ ...good, ...change });

  it("answers what is right", async () => {
    expect((await post(url(), body({}))).status).toBe(200);
  });

  it("answers nobody who does not say who they are, or lies", async () => {
    const headers = { "content-type": "application/json" };
    const asks = async (authorization?: string) =>
      await fetch(url(), {
        method: "POST",
        body: "{ nonsense",
        headers: authorization === undefined ? headers : { ...headers, authorization },
      });
    const answers = [
      await asks(),
      await asks("Bearer nonsense"),
      await asks(`Bearer ${mesh.key}`),
      await asks("Basic YTpi"),
    ];

    expect(answers.map(({ status }) => status)).toEqual([401, 401, 401, 401]);
    for (const answer of answers) expect(await answer.json()).toMatchObject({ code: "unauthenticated" });
  });

  it.each([
    ["an empty body", () => ""],
    ["JSON that is cut", () => '{"organisation":'],
    ["an array", () => "[]"],
    ["a field nobody knows", () => body({ organization: "demo" })],
    ["a page size that is text", () => body({ pageSize: "many" })],
    ["a page size below zero", () => body({ pageSize: -1 })],
    ["a page size beyond its type", () => body({ pageSize: 2 ** 40 })],
    ["a page token that is none", () => body({ pageToken: "nonsense" })],
    ["a page token beyond its length", () => body({ pageToken: "x".repeat(5_000) })],
    ["an organisation that is no id", () => body({ organisation: "Not An Id" })],
    ["NUL", () => body({ pageToken: "a\0b" })],
    ["bytes that are not UTF-8", () => Buffer.from('{"organisation":"\xff"}', "latin1")],
    ["JSON 100,000 deep", () => `${'{"organisation":'.repeat(100_000)}1${"}".repeat(100_000)}`],
    ["one field twice", () => '{"organisation":"demo","organisation":"other"}'],
  ])("refuses %s", async (_, make) => {
    await expectInvalid(await post(url(), make()));
  });

  it("refuses a message over its limit", async () => {
    const response = await post(url(), body({ pageToken: "x".repeat(20 << 20) }));

    expect(await response.json()).toMatchObject({ code: "resource_exhausted" });
  });

  it("refuses another method, content type and path", async () => {
    const method = await fetch(url(), { method: "DELETE" });
    const type = await post(url(), "<a/>", "application/xml");
    const path = await post(`${url()}s`, "{}");

    expect([method.status, type.status, path.status]).toEqual([405, 415, 404]);
  });

  it("answers broken HTTP with 400", async () => {
    const answer = await sendRaw(url(), "nonsense\r\n\r\n");

    expect(answer.status).toBe(400);
  });

  it("answers a flood of headers with 431", async () => {
    const answer = await sendRaw(url(), `GET / HTTP/1.1\r\nhost: x\r\nx-a: ${"y".repeat(65_536)}\r\n\r\n`);

    expect(answer.status).toBe(431);
  });
});

describe("policy", () => {
  const call = (method: string, body: object | string) =>
    post(
      `http://${mesh.addresses.policy.address}/weir.policy.v1.${method}`,
      typeof body === "string" ? body : JSON.stringify(body),
    );
  const KEY = {
    organisation: "demo",
    team: "search",
    app: "assistant",
    environment: "production",
    displayName: "Key",
    models: ["*"],
  };

  it.each([
    ["a misspelt limit", { requestPerMinute: 5 }, "requestPerMinute"],
    ["a limit below zero", { requestsPerMinute: -5 }, "requests_per_minute"],
    ["a limit with a fraction", { requestsPerMinute: 1.5 }, "requestsPerMinute"],
    ["no models", { models: [] }, "models"],
    ["the same model twice", { models: ["small", "small"] }, "models"],
    ["a request id that is no UUID", { requestId: "1" }, "request_id"],
    ["a name with NUL", { displayName: "a\0b" }, "display_name"],
    ["a name that is too long", { displayName: "x".repeat(1_000) }, "display_name"],
    ["a time that is none", { expiresAt: "tomorrow" }, "Timestamp"],
  ])("refuses a key with %s and names the field", async (_, change, field) => {
    const text = await expectInvalid(
      await call("KeyService/CreateKey", { requestId: randomUUID(), ...KEY, ...change }),
    );

    expect(text.toLowerCase().replaceAll("_", "")).toContain(field.toLowerCase().replaceAll("_", ""));
  });

  it("refuses to make a key for nobody, and to revoke one that is not there", async () => {
    const nobody = await call("KeyService/CreateKey", { requestId: randomUUID(), ...KEY, team: "nobody" });
    const missing = await call("KeyService/RevokeKey", {
      requestId: randomUUID(),
      organisation: "demo",
      keyId: "aaaaaaaaaaaa",
    });

    expect(nobody.status).toBeGreaterThanOrEqual(400);
    expect(nobody.status).toBeLessThan(500);
    expect(missing.status).toBe(404);
  });

  it("says all findings of a policy at once, with their paths", async () => {
    const policy = {
      organisation: "demo",
      regions: [{ id: "eu" }],
      models: [{ id: "m", routes: [{ target: "nowhere" }] }],
      targets: [{ id: "t", provider: "nobody", model: "x" }],
    };

    const response = await call("PolicyService/CheckPolicy", { policy });

    const { findings } = (await response.json()) as { findings: { path?: string; field?: string }[] };
    expect(response.status).toBe(200);
    expect(findings.length).toBeGreaterThan(1);
  });

  it.each([
    ["a field nobody knows", { policy: { organisation: "demo", limitz: [] } }],
    ["an effect nobody knows", { policy: { organisation: "demo", limits: [{ id: "a", per: "LIMIT_PER_MOON" }] } }],
    ["no policy", {}],
  ])("publishes nothing of a document with %s", async (_, change) => {
    const before = await (await call("PolicyService/GetPolicy", {})).json();

    const response = await call("PolicyService/PublishPolicy", { requestId: randomUUID(), ...change });

    expect(response.status).toBeGreaterThanOrEqual(400);
    expect(response.status).toBeLessThan(500);
    expect(await (await call("PolicyService/GetPolicy", {})).json()).toEqual(before);
  });

  it("refuses a version that is not the one expected, and one that never was", async () => {
    const conflict = await call("PolicyService/RollBackPolicy", {
      requestId: randomUUID(),
      version: "1",
      expectedVersion: "99",
    });
    const missing = await call("PolicyService/GetPolicy", { version: "99" });

    expect(await conflict.json()).toMatchObject({ code: "aborted" });
    expect(await missing.json()).toMatchObject({ code: "not_found" });
  });
});

describe("audit", () => {
  const call = (method: string, body: object) =>
    post(`http://${mesh.addresses.audit.control?.address}/weir.audit.v1.AuditService/${method}`, JSON.stringify(body));

  it("refuses proofs of what is not in the log", async () => {
    const record = await call("GetInclusionProof", { recordId: randomUUID() });
    const future = await call("GetConsistencyProof", { firstSize: "1", secondSize: "1000000" });

    expect(await record.json()).toMatchObject({ code: "not_found" });
    expect(future.status).toBeGreaterThanOrEqual(400);
    expect(future.status).toBeLessThan(500);
  });

  it.each([
    ["GetRecord", { recordId: "1; DROP TABLE record" }],
    ["GetConsistencyProof", { firstSize: "0" }],
    ["GetConsistencyProof", { firstSize: "9223372036854775808" }],
    ["ListRecords", { firstIndex: "-1" }],
  ])("refuses %s of %j", async (method, body) => {
    await expectInvalid(await call(method, body));
  });
});

describe("metering", () => {
  const call = (body: object) =>
    post(
      `http://${mesh.addresses.metering.address}/weir.metering.v1.SpendService/QuerySpend`,
      JSON.stringify({ organisation: "demo", ...body }),
    );

  it.each([
    ["a day that is none", { firstDay: "2026-02-31" }],
    ["a day in another format", { firstDay: "31.12.2026" }],
    ["an end before its beginning", { firstDay: "2026-02-02", lastDay: "2026-02-01" }],
    ["a dimension nobody knows", { groupBy: ["DIMENSION_MOON"] }],
    ["the same dimension twice", { groupBy: ["DIMENSION_TEAM", "DIMENSION_TEAM"] }],
    ["a filter without values", { filters: [{ dimension: "DIMENSION_TEAM", values: [] }] }],
  ])("refuses %s", async (_, body) => {
    await expectInvalid(await call(body));
  });

  it("takes quotes and semicolons for what they are", async () => {
    const filters = [{ dimension: "DIMENSION_TEAM", values: ["'; DROP TABLE ledger_entry; --"] }];

    const response = await call({ groupBy: ["DIMENSION_TEAM"], filters });

    expect([response.status, await response.json()]).toEqual([200, {}]);
  });
});
