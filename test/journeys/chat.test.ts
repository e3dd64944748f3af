/**
 * The life of a chat: a caller with a key → admitted → sent to a target, or the next one → answered → its usage in the ledger and its
 * record in the log of its region, under the id that the caller was given. And the other ways it can end.
 */
import { randomUUID } from "node:crypto";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Client } from "@connectrpc/connect";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CALL_OPTIONS, withClient } from "../../cli/control-plane.ts";
import { KeyService } from "../../gen/weir/policy/v1/key_service_pb.ts";
import { TenantService } from "../../gen/weir/policy/v1/tenant_service_pb.ts";
import { OutcomeKind, UsageSource } from "../../gen/weir/type/v1/usage_pb.ts";
import { createTestPolicy, DEMO_TENANT, type Mesh, startMesh } from "../mesh.ts";
import { readLog, waitFor } from "../records.ts";
import { readEntries } from "../spend.ts";

const MESSAGES = [{ role: "user" as const, content: "How deep is the river?" }];

let mesh: Mesh;
let echo: Server;

beforeAll(async () => {
  echo = await startEcho();
  mesh = await startMesh({ name: "chat" });
  await mesh.publish(withMoreModels(createTestPolicy(mesh.ports.provider)));
});

afterAll(async () => {
  await mesh?.stop();
  echo?.closeAllConnections();
  echo?.close();
});

/** A provider that gives back what it was asked, to show what reaches one. */
async function startEcho(): Promise<Server> {
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (part) => {
      body += part;
    });
    request.on("end", () => {
      const choices = [{ index: 0, message: { role: "assistant", content: "echo" }, finish_reason: "stop" }];
      response.writeHead(200, { "content-type": "application/json" });
      response.end(`{"object":"chat.completion","choices":${JSON.stringify(choices)},"x_asked":${body},"x_big":1e400}`);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

/** The test policy with a model that falls back, and one that the echo serves. */
function withMoreModels(policy: unknown): unknown {
  const { providers, targets, models, ...rest } = policy as Record<string, object[]>;
  const baseUrl = `http://127.0.0.1:${(echo.address() as AddressInfo).port}/v1`;
  return {
    ...rest,
    providers: [...providers!, { id: "echo", dialect: "DIALECT_OPENAI", baseUrl, regions: ["eu", "us"] }],
    targets: [...targets!, { id: "echo/any", provider: "echo", model: "any", prices: { input: "1", output: "2" } }],
    models: [
      ...models!,
      { id: "echo", routes: [{ target: "echo/any" }] },
      {
        id: "falls-back",
        routes: [
          { target: "scripted-eu/scripted-fail" },
          { target: "scripted-eu/scripted-cut-early", priority: 1 },
          { target: "scripted-eu/scripted-small", priority: 2 },
        ],
      },
    ],
  };
}

const client = (key = mesh.key, region: "eu" | "us" = "eu") =>
  new OpenAI({ apiKey: key, baseURL: `${mesh.routerUrl(region)}/v1`, maxRetries: 0, timeout: 60_000 });

/** Waits for the record of a chat in the log of eu. */
async function waitRecord(id: string) {
  const log = await waitFor(
    () => readLog(mesh, "eu"),
    (records) => records.some(({ logged }) => logged.recordId === id),
  );
  const act = log.find(({ logged }) => logged.recordId === id)?.record.act;
  if (act?.case !== "call") throw new Error(`The record of ${id} is of no call`);
  return act.value;
}

async function waitUsage(id: string) {
  return await waitFor(
    () => readEntries(mesh, id),
    (entries) => entries.length > 0,
  );
}

describe("a chat", () => {
  it("is answered, and the ledger and the log know it by the id that its caller was given", async () => {
    const { data, response } = await client()
      .chat.completions.create({ model: "small", messages: MESSAGES, user: "reader-7" })
      .withResponse();
    const id = response.headers.get("x-request-id") ?? "";

    expect(data.choices[0]?.message.content).toMatch(/^This is a scripted answer/);
    expect(response.headers.get("x-weir-target")).toBe("scripted-eu/small");
    expect((await waitUsage(id)).length).toBeGreaterThan(0);
    expect(await waitRecord(id)).toMatchObject({
      caller: { organisation: "demo", endUser: "reader-7" },
      model: "small",
      streamed: false,
      surface: "openai",
      outcome: OutcomeKind.ANSWERED,
      attempts: [{ target: "scripted-eu/small", source: UsageSource.PROVIDER, providerStatus: 200 }],
    });
  });

  it("is streamed, and costs what its unary sister costs", async () => {
    const unary = await client().chat.completions.create({ model: "large", messages: MESSAGES }).withResponse();
    const streamed = await client()
      .chat.completions.create({ model: "large", messages: MESSAGES, stream: true })
      .withResponse();
    let text = "";
    for await (const chunk of streamed.data) text += chunk.choices[0]?.delta.content ?? "";

    expect(text).toBe(unary.data.choices[0]?.message.content);
    const [one, other] = await Promise.all(
      [unary, streamed].map(({ response }) => waitRecord(response.headers.get("x-request-id") ?? "")),
    );
    expect(other?.attempts[0]?.lines).toEqual(one?.attempts[0]?.lines);
    expect(other?.attempts[0]?.lines.length).toBeGreaterThan(0);
  });

  it("goes to the next target while nothing of an answer was seen, and each attempt is on record", async () => {
    const { data, response } = await client()
      .chat.completions.create({ model: "falls-back", messages: MESSAGES, stream: true })
      .withResponse();
    let text = "";
    for await (const chunk of data) text += chunk.choices[0]?.delta.content ?? "";

    expect(text).toBe("This is a scripted answer piece-1 piece-2");
    expect(response.headers.get("x-weir-target")).toBe("scripted-eu/scripted-small");
    const record = await waitRecord(response.headers.get("x-request-id") ?? "");
    expect(record.attempts.map(({ target, outcome }) => [target, outcome])).toEqual([
      ["scripted-eu/scripted-fail", OutcomeKind.FAILED],
      ["scripted-eu/scripted-cut-early", OutcomeKind.FAILED],
      ["scripted-eu/scripted-small", OutcomeKind.ANSWERED],
    ]);
  });

  it("is not sent to a target that failed again and again: its record, the live state and the metrics say so", async () => {
    const failing = "scripted-eu/scripted-fail";
    const ask = () => client().chat.completions.create({ model: "falls-back", messages: MESSAGES }).withResponse();
    await Promise.all(Array.from({ length: 6 }, ask));

    const { candidates, attempts } = await waitFor(
      async () => waitRecord((await ask()).response.headers.get("x-request-id") ?? ""),
      (record) => record.candidates.some(({ target, result }) => target === failing && result.case === "rejected"),
    );
    expect(candidates.find(({ target }) => target === failing)?.result.value).toBe("TARGET_EJECTED");
    expect(attempts.map(({ target }) => target)).not.toContain(failing);
    const [state, page] = await Promise.all(
      ["state", "metrics"].map(async (path) => (await fetch(`${mesh.routerAdminUrl("eu")}/${path}`)).text()),
    );
    expect(JSON.parse(state!).ejectedTargets).toEqual(
      expect.arrayContaining([expect.objectContaining({ id: failing, cause: "failed" })]),
    );
    expect(page).toMatch(`weir_router_ejections_total{target="${failing}",cause="failed"}`);
    expect(page).toMatch(`weir_router_targets_ejected{target="${failing}"}`);
  });

  it("is never repeated elsewhere once content was seen: it breaks, and what was seen is billed", async () => {
    const { data, response } = await client()
      .chat.completions.create({ model: "scripted-cut", messages: MESSAGES, stream: true })
      .withResponse();
    let text = "";
    const reading = (async () => {
      for await (const chunk of data) text += chunk.choices[0]?.delta.content ?? "";
    })();

    await expect(reading).rejects.toThrow(/Cannot answer/);
    expect(text).toBe("This is a scripted answer piece-1 piece-2");
    const record = await waitRecord(response.headers.get("x-request-id") ?? "");
    expect(record).toMatchObject({
      outcome: OutcomeKind.CUT,
      reason: "STREAM_CUT",
      attempts: [{ source: UsageSource.COUNTED }],
    });
    expect(record.attempts[0]?.lines.every(({ quantity }) => quantity > 0n)).toBe(true);
  });

  it("ends at the provider when its caller leaves", async () => {
    const leaving = new AbortController();
    const { data, response } = await client()
      .chat.completions.create({ model: "scripted-hold", messages: MESSAGES, stream: true }, { signal: leaving.signal })
      .withResponse();
    await data[Symbol.asyncIterator]().next();

    leaving.abort();

    const bill = await waitFor(
      () => mesh.bill(),
      ({ calls }) => calls.some(({ model, status }) => model === "scripted-hold" && status !== "running"),
    );
    expect(bill.calls.find(({ model }) => model === "scripted-hold")).toMatchObject({ status: "left by caller" });
    expect(await waitRecord(response.headers.get("x-request-id") ?? "")).toMatchObject({
      outcome: OutcomeKind.CANCELLED,
      reason: "CALLER_GONE",
    });
  });

  it("is refused beyond the limit of its key, with the time to come back, and reaches no provider", async () => {
    const { secret } = await mesh.createKey({ requestsPerMinute: 1 });
    await client(secret).chat.completions.create({ model: "scripted-large", messages: MESSAGES });
    const before = (await mesh.bill()).totals.calls;

    const asked = client(secret).chat.completions.create({ model: "scripted-large", messages: MESSAGES });

    const error = (await asked.catch((cause: unknown) => cause)) as InstanceType<typeof OpenAI.APIError>;
    expect(error).toMatchObject({ status: 429, code: "rate_limit_exceeded" });
    expect(Number(error.headers?.get("retry-after"))).toBeGreaterThan(0);
    expect((await mesh.bill()).totals.calls).toBe(before);
  });

  it("is refused once its key is revoked", async () => {
    const { keyId, secret } = await mesh.createKey();
    await client(secret).chat.completions.create({ model: "small", messages: MESSAGES });

    await withClient(mesh.addresses.policy, KeyService, (keys) =>
      keys.revokeKey({ requestId: randomUUID(), organisation: DEMO_TENANT.organisation, keyId }, CALL_OPTIONS),
    );
    await mesh.waitCurrent();

    for (const region of ["eu", "us"] as const) {
      const asked = client(secret, region).chat.completions.create({ model: "small", messages: MESSAGES });
      await expect(asked).rejects.toMatchObject({ status: 401, code: "invalid_api_key" });
    }
  });

  it("goes on while its key is rotated, by the old secret and the new one, and stops while the key or its tenant is disabled", async () => {
    const { keyId, secret } = await mesh.createKey();
    const ask = async (presented: string) => {
      const response = await fetch(`${mesh.routerUrl("eu")}/v1/chat/completions`, {
        method: "POST",
        headers: { authorization: `Bearer ${presented}`, "content-type": "application/json" },
        body: JSON.stringify({ model: "small", messages: MESSAGES }),
      });
      await response.arrayBuffer();
      return response.headers.get("x-weir-reason") ?? response.status;
    };
    const asked = () => ({ requestId: randomUUID(), organisation: DEMO_TENANT.organisation, keyId });
    const change = <T>(act: (keys: Client<typeof KeyService>) => Promise<T>) =>
      withClient(mesh.addresses.policy, KeyService, act);

    const answers: unknown[] = [];
    let isOver = false;
    const callers = Array.from({ length: 4 }, async () => {
      while (!isOver) answers.push(await ask(secret));
    });
    const rotated = await change((keys) => keys.rotateKey(asked(), CALL_OPTIONS));
    await mesh.waitCurrent();
    answers.push(await ask(rotated.secret), await ask(secret));
    isOver = true;
    await Promise.all(callers);
    expect(new Set(answers)).toEqual(new Set([200]));

    await change((keys) => keys.disableKey(asked(), CALL_OPTIONS));
    await mesh.waitCurrent();
    expect([await ask(secret), await ask(rotated.secret)]).toEqual(["KEY_DISABLED", "KEY_DISABLED"]);
    await change((keys) => keys.enableKey(asked(), CALL_OPTIONS));
    const tenant = { requestId: randomUUID(), tenant: `${DEMO_TENANT.organisation}/${DEMO_TENANT.team}` };
    await withClient(mesh.addresses.policy, TenantService, (tenants) => tenants.disableTenant(tenant, CALL_OPTIONS));
    await mesh.waitCurrent();
    expect(await ask(secret)).toBe("TENANT_DISABLED");
    await withClient(mesh.addresses.policy, TenantService, (tenants) => tenants.enableTenant(tenant, CALL_OPTIONS));
    await mesh.waitCurrent();
    expect([await ask(secret), await ask(rotated.secret)]).toEqual([200, 200]);
  });

  it("carries what Weir does not know, both ways, byte for byte", async () => {
    const asked = `{"model" : "echo","x_new":{"deep":[1,2.50,{"é\\u00e9":null}]},"x_number":12345678901234567890,"messages":[{"role":"user","content":"hi","x":1}]}`;

    const response = await fetch(`${mesh.routerUrl("eu")}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${mesh.key}`, "content-type": "application/json" },
      body: asked,
    });

    // The target's model stands in the place of the one asked for; where it is shorter, spaces fill the rest.
    expect(await response.text()).toContain(`"x_asked":${asked.replace('"echo"', '"any" ')},"x_big":1e400}`);
  });

  it("is finished by a router that is told to stop", async () => {
    const router = mesh.processes["router-us"];
    const data = await client(mesh.key, "us").chat.completions.create({
      model: "scripted-hold",
      messages: MESSAGES,
      stream: true,
    });
    const chunks = data[Symbol.asyncIterator]();
    await chunks.next();

    const stopped = router.stop();
    await waitFor(
      () => fetch(`${mesh.routerAdminUrl("us")}/readyz`),
      ({ status }) => status === 503,
    );
    await mesh.release();
    let finish: string | null | undefined;
    for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) {
      finish = next.value.choices[0]?.finish_reason ?? finish;
    }
    await stopped;

    expect(finish).toBe("stop");
    await router.restart();
  });
});
