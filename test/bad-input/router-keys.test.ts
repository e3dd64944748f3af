// Callers who are not who they should be: each is refused with 401 in the caller's dialect, the key is repeated nowhere, and no chat
// begins: the provider hears nothing, the spool gets nothing.
import { randomUUID } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { withClient } from "../../cli/control-plane.ts";
import { KeyService } from "../../gen/weir/policy/v1/key_service_pb.ts";
import { DEMO_TENANT, type Mesh, startMesh } from "../mesh.ts";

const BODY = JSON.stringify({ model: "small", messages: [{ role: "user", content: "hello" }] });

let mesh: Mesh;

beforeAll(async () => {
  mesh = await startMesh({ name: "bad-keys" });
});

afterAll(() => mesh?.stop());

function chat(headers: Record<string, string>, region: "eu" | "us" = "eu"): Promise<Response> {
  return fetch(`${mesh.routerUrl(region)}/v1/chat/completions`, {
    method: "POST",
    body: BODY,
    headers: { "content-type": "application/json", ...headers },
  });
}

function complete(headers: Record<string, string>): Promise<Response> {
  return fetch(`${mesh.routerUrl("eu")}/weir.router.v1.ChatService/Complete`, {
    method: "POST",
    body: '{"input":{"model":"small","messages":[{"role":"ROLE_USER","blocks":[{"text":{"text":"hello"}}]}]}}',
    headers: { "content-type": "application/json", ...headers },
  });
}

/** Keys that are wrong, each made of a right one. */
const WRONG: [name: string, headers: (key: string) => Record<string, string>, reason: string][] = [
  ["no key", () => ({}), "KEY_MISSING"],
  ["an empty header", () => ({ authorization: "" }), "KEY_MISSING"],
  ["another scheme", (key) => ({ authorization: `Basic ${Buffer.from(key).toString("base64")}` }), "KEY_M"],
  ["no scheme", (key) => ({ authorization: key }), "KEY_M"],
  ["a bare scheme", () => ({ authorization: "Bearer" }), "KEY_M"],
  ["nonsense", () => ({ authorization: "Bearer nonsense" }), "KEY_MALFORMED"],
  ["a provider's key", () => ({ authorization: "Bearer sk-proj-abcdefghijklmnop" }), "KEY_MALFORMED"],
  ["10 kB of key", () => ({ authorization: `Bearer weir_${"x".repeat(10_000)}` }), "KEY_M"],
  ["a cut key", (key) => ({ authorization: `Bearer ${key.slice(0, -1)}` }), "KEY_MALFORMED"],
  [
    "a key with a wrong checksum",
    (key) => ({ authorization: `Bearer ${key.slice(0, -1)}${key.endsWith("0") ? "1" : "0"}` }),
    "KEY_MALFORMED",
  ],
  ["a key in capitals", (key) => ({ authorization: `Bearer ${key.toUpperCase()}` }), "KEY_MALFORMED"],
];

describe.each(WRONG)("%s", (_, headers, reason) => {
  it("is 401 on the OpenAI surface", async () => {
    const response = await chat(headers(mesh.key));
    const text = await response.text();

    expect(response.status).toBe(401);
    expect(JSON.parse(text)).toMatchObject({
      error: { message: expect.stringMatching(/[a-z]{3}/), type: expect.any(String), code: expect.any(String) },
    });
    expect(text).not.toContain(mesh.key.slice(0, 40));
  });

  it("is UNAUTHENTICATED on ChatService", async () => {
    const response = await complete(headers(mesh.key));
    const text = await response.text();

    expect(response.status).toBe(401);
    expect(JSON.parse(text)).toMatchObject({ code: "unauthenticated" });
    expect(text).toContain(reason);
    expect(text).not.toContain(mesh.key.slice(0, 40));
  });
});

it("a revoked key is refused, on both surfaces, once the region has heard of it", async () => {
  const { keyId, secret } = await mesh.createKey();
  const headers = { authorization: `Bearer ${secret}` };
  const before = await chat(headers);
  await withClient(mesh.addresses.policy, KeyService, (client) =>
    client.revokeKey({ requestId: randomUUID(), organisation: DEMO_TENANT.organisation, keyId }),
  );
  await mesh.waitCurrent();

  const after = await chat(headers);
  const typed = await complete(headers);

  expect([before.status, after.status, typed.status]).toEqual([200, 401, 401]);
  expect(await typed.text()).toContain("KEY_REVOKED");
});

it("a flood without a key reaches neither provider nor spool, and no key is in a log", async () => {
  const calls = (await mesh.bill()).totals.calls;
  const key = (index: number) => (index % 2 ? "nonsense" : `${mesh.key}x`);

  for (let round = 0; round < 20; round += 1) {
    const responses = await Promise.all(
      Array.from({ length: 50 }, (_, index) => chat({ authorization: `Bearer ${key(index)}` }, "us")),
    );
    for (const response of responses) await response.arrayBuffer();
    expect(new Set(responses.map(({ status }) => status))).toEqual(new Set([401]));
  }

  expect([(await mesh.bill()).totals.calls, await readSpoolFacts()]).toEqual([calls, 0]);
  const { logs } = mesh.layout;
  const secret = mesh.key.split("_").slice(3).join("_").slice(0, 43);
  for (const file of readdirSync(logs)) expect(readFileSync(join(logs, file), "utf8")).not.toContain(secret);
});

/** Facts that wait in the spool of the router in `us`, which nothing but the flood has asked. */
async function readSpoolFacts(): Promise<number> {
  const page = await (await fetch(`${mesh.routerAdminUrl("us")}/metrics`)).text();
  const facts = [...page.matchAll(/^weir_router_spool_facts\{[^}]*\} (\S+)$/gm)].map(([, value]) => Number(value));
  expect(facts.length).toBeGreaterThan(0);
  return facts.reduce((sum, value) => sum + value, 0);
}
