import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { text as readText } from "node:stream/consumers";
import { crc32 } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createPorts, REGIONS } from "../../cli/up/layout.ts";
import { OWNERS } from "../../cli/up/postgres.ts";
import { hashKey } from "../../services/shared/key/key.ts";
import { createTestPolicy, type Mesh, startMesh } from "../mesh.ts";
import { getFreeBasePort } from "../ports.ts";
import { startCommand } from "../processes.ts";
import { waitFor } from "../records.ts";
import { type Canary, createCanary, dumpDatabase, findIn, findInDatabase, findInFiles } from "./search.ts";

// Secrets are planted into a whole mesh, traffic runs, providers quote what they were sent; then everything that the mesh has left
// anywhere is searched for them.

const FIRST = `sk-canary/1+${randomBytes(18).toString("base64url")}`;
const SECOND = `sk-canary/2+${randomBytes(18).toString("base64url")}`;
/** How the provider answers, by the name of its model. Each but the first quotes the credential that it was sent. */
const MANNERS = {
  well: 200,
  "quotes-in-400": 400,
  "quotes-in-401": 401,
  "quotes-in-403": 403,
  "quotes-in-422": 422,
  "quotes-in-429": 429,
  "quotes-in-500": 500,
  "quotes-in-plain-text": 502,
  "quotes-in-stream": 200,
} as const;

let mesh: Mesh;
let provider: Server;
let policy: unknown;
/** The credentials that the provider takes. */
let honoured = new Set([FIRST]);
const sent = new Map<string, number>();
const answers: string[] = [];

beforeAll(async () => {
  provider = createServer(async (request, response) => {
    const { model, stream } = JSON.parse(await readText(request)) as { model: keyof typeof MANNERS; stream?: boolean };
    const credential = request.headers.authorization?.replace("Bearer ", "") ?? "";
    sent.set(credential, (sent.get(credential) ?? 0) + 1);
    if (!honoured.has(credential)) return quote(response, 401, credential);
    if (model === "well") return answer(response, stream === true);
    if (model === "quotes-in-stream") {
      response.writeHead(200, { "content-type": "text/event-stream" });
      return response.end(
        `data: ${JSON.stringify({ error: { message: quoteAll(credential), type: "server_error" } })}\n\n`,
      );
    }
    quote(response, MANNERS[model], credential, model === "quotes-in-plain-text");
  });
  await new Promise<void>((resolve) => provider.listen(0, "127.0.0.1", resolve));
  const basePort = await getFreeBasePort();
  const baseUrl = `http://127.0.0.1:${(provider.address() as AddressInfo).port}/v1`;
  policy = createPolicy(createPorts(basePort).provider, baseUrl);
  mesh = await startMesh({ name: "secrets", basePort, policy });
});

afterAll(async () => {
  await mesh?.stop();
  provider?.closeAllConnections();
  provider?.close();
});

describe("the secrets of a mesh", () => {
  it("S4: reach the routers of their region, and a new version fails no call, at a provider that refuses the old one from then on", async () => {
    await weir(["credentials", "set", "canary", "--region", "eu"], FIRST);
    await whenAnswered(200);

    let isOver = false;
    const statuses: number[] = [];
    const asking = Promise.all(
      Array.from({ length: 4 }, async () => {
        while (!isOver) statuses.push((await ask("eu", "well")).status);
      }),
    );
    await whenSent(FIRST, 20);
    honoured.add(SECOND);
    const output = await weir(["credentials", "rotate", "canary"], SECOND);
    honoured = new Set([SECOND]);
    await whenSent(SECOND, 40);
    isOver = true;
    await asking;

    expect(output).toContain("version 2, for eu\n1 router uses it: an older one can be revoked");
    expect(statuses.filter((status) => status !== 200)).toEqual([]);
    // It was sealed for eu alone.
    expect((await ask("us", "well")).status).toBe(503);
  });

  it("S3: are found in no file, log, message, table, metric, state or answer, in whatever form", async () => {
    for (const model of Object.keys(MANNERS)) {
      for (const stream of [false, true]) {
        await ask("eu", model, { stream });
        await ask("eu", model, { stream }, "messages");
        await ask("eu", model, { stream }, "responses");
      }
    }
    await ask("eu", "well", {}, "chat/completions", `${mesh.key}x`);
    await ask("eu", "well", {}, "chat/completions", FIRST);
    await weir(["credentials", "list"]);
    await weir(["keys", "list", "--organisation", "demo"]);
    await weir(["policy", "show"]);
    const canaries = listCanaries();
    // Other secrets than those of providers lie where they were put, and nowhere else.
    const isKeyFile = (path: string) => /^keys\/.+\.key$/.test(path);

    const control = join(mesh.layout.dataDir, "control");
    writeFileSync(control, `x${Buffer.from(`yz${SECOND}`).toString("base64")}`);
    expect(findInFiles(mesh.layout.dataDir, canaries, isKeyFile)).toEqual(["control: provider credential 2"]);
    rmSync(control);

    expect(sent.get(SECOND)).toBeGreaterThan(20);
    expect(answers.join("\n")).toContain("Incorrect API key provided: … (…, …");
    expect(findIn(Buffer.from(answers.join("\n")), canaries)).toEqual([]);
    for (const page of await readPages()) expect(findIn(Buffer.from(page), canaries)).toEqual([]);
    for (const owner of OWNERS) {
      const { found, rows } = await findInDatabase(mesh.databaseUrl(owner), canaries);
      expect([owner, found]).toEqual([owner, []]);
      expect(rows).toBeGreaterThan(0);
    }
    // Logs, spools, snapshots, sealed credentials, the messages of every stream of NATS, PostgreSQL's pages and its log of writes.
    for (const part of ["logs", "nats", "postgres", "router"]) {
      expect(readdirSync(join(mesh.layout.dataDir, part)).length).toBeGreaterThan(0);
    }
    expect(findInFiles(mesh.layout.dataDir, canaries, isKeyFile)).toEqual([]);
  });

  it("S5: let nobody use a credential who has all databases and all that routers keep on disk, but not the region's key", async () => {
    const state = join(mesh.layout.router, "eu-1", "credentials");
    const files = readdirSync(state);

    expect(files.length).toBeGreaterThan(0);
    const canaries = [createCanary("1", FIRST), createCanary("2", SECOND)];
    for (const file of files) expect(findIn(readFileSync(join(state, file)), canaries)).toEqual([]);
    // What opens it is in one file, which no service but the region's routers is given.
    const key = toSecretPart(readFileSync(mesh.trust.regionKey("eu"), "utf8").trim());
    expect(
      findInFiles(mesh.layout.dataDir, [createCanary("region key", key)], (path) => path === "keys/region-eu.key"),
    ).toEqual([]);
  });

  it("S5: let nobody ask a router who has all databases and all that routers keep on disk", async () => {
    const snapshots = join(mesh.layout.router, "eu-1", "snapshots");
    const tables = (await Promise.all(OWNERS.map((owner) => dumpDatabase(mesh.databaseUrl(owner))))).flat();
    const files = readdirSync(snapshots).map((file) => readFileSync(join(snapshots, file)));
    const dump = Buffer.concat([...tables.map(({ bytes }) => bytes), ...files]);
    const sha256 = Buffer.from(hashKey(mesh.key));
    const [, environment, keyId] = mesh.key.split("_");

    const stolen = [
      ...new Set(dump.toString("latin1").match(/weir_[a-z-]+_[a-z2-7]{12}(_[\w-]{43}_\w{6})?/g) ?? []),
      ...(["hex", "base64", "base64url", "latin1"] as const).map((encoding) => sha256.toString(encoding)),
      withCheck(`weir_${environment}_${keyId}_${sha256.toString("base64url")}`),
    ];
    const statuses = await Promise.all(
      stolen.map(async (key) => (await ask("eu", "well", {}, "chat/completions", encodeURI(key))).status),
    );

    // What there is of a key is there: its id, and the hash of the whole.
    expect([dump.includes(String(keyId)), dump.includes(sha256)]).toEqual([true, true]);
    expect(statuses).toEqual(stolen.map(() => 401));
    expect((await ask("eu", "well")).status).toBe(200);
  });
});

describe("S4: a call is answered", () => {
  it("all the while a virtual key, the region's key, and the key with which policy signs are rotated", async () => {
    const keys = join(mesh.layout.dataDir, "keys");
    let key = mesh.key;
    let isOver = false;
    const statuses: number[] = [];
    const asking = Promise.all(
      Array.from({ length: 4 }, async () => {
        while (!isOver) statuses.push((await ask("eu", "well", {}, "chat/completions", key)).status);
      }),
    );
    const keygen = ["keygen", "--regions", REGIONS.join(",")];

    const rotated = await weir(["keys", "rotate", key.split("_")[2]!, "--organisation", "demo", "--output", "json"]);
    await mesh.waitCurrent();
    key = (JSON.parse(rotated) as { secret: string }).secret;

    await weir([...keygen, "--renew", "eu"]);
    expect(await weir(["credentials", "rotate", "canary"], SECOND)).toContain("1 router uses it");

    const before = readFileSync(mesh.trust.routerTrust, "utf8");
    renameSync(mesh.trust.policyKey, join(keys, "policy-before.key"));
    await weir(keygen);
    await whenTrustChanged(1);
    await mesh.processes.policy.restart();
    await mesh.publish(policy);
    const after = readFileSync(mesh.trust.routerTrust, "utf8");
    writeFileSync(mesh.trust.routerTrust, after.slice(before.length));
    await whenTrustChanged(2);
    await mesh.publish(policy);
    isOver = true;
    await asking;

    expect(after.startsWith(before)).toBe(true);
    expect(statuses.length).toBeGreaterThan(100);
    expect(statuses.filter((status) => status !== 200)).toEqual([]);
    expect((await ask("eu", "well", {}, "chat/completions", key)).status).toBe(200);
  });
});

/** Waits until the routers have taken the trust file so many times anew. */
async function whenTrustChanged(times: number): Promise<void> {
  for (const region of REGIONS) {
    const log = join(mesh.layout.logs, `router-${region}.log`);
    await waitFor(
      async () => readFileSync(log, "utf8").split("Trust changed").length - 1,
      (count) => count === times,
    );
  }
}

/** A key as its maker would end it. */
function withCheck(body: string): string {
  return `${body}_${(crc32(body) % 36 ** 6).toString(36).padStart(6, "0")}`;
}

function createPolicy(scriptedPort: number, baseUrl: string): unknown {
  const policy = createTestPolicy(scriptedPort) as { providers: object[]; targets: object[]; models: object[] };
  const models = Object.keys(MANNERS);
  const canary = { id: "canary", dialect: "DIALECT_OPENAI", server: "SERVER_OTHER", baseUrl, credential: "canary" };
  const prices = { input: "1", output: "1" };
  return {
    ...policy,
    providers: [...policy.providers, { ...canary, regions: [...REGIONS] }],
    targets: [
      ...policy.targets,
      ...models.map((model) => ({ id: `canary/${model}`, provider: "canary", model, prices })),
    ],
    models: [...policy.models, ...models.map((id) => ({ id, routes: [{ target: `canary/${id}` }] }))],
  };
}

function answer(response: ServerResponse, isStream: boolean): void {
  const choices = [{ index: 0, message: { role: "assistant", content: "Hello" }, finish_reason: "stop" }];
  const usage = { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 };
  if (!isStream) {
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify({ id: "c", object: "chat.completion", created: 1, model: "well", choices, usage }));
    return;
  }
  const chunk = { id: "c", object: "chat.completion.chunk", created: 1, model: "well" };
  const delta = [{ index: 0, delta: { role: "assistant", content: "Hello" }, finish_reason: "stop" }];
  response.writeHead(200, { "content-type": "text/event-stream" });
  response.end(
    `${[
      { ...chunk, choices: delta },
      { ...chunk, choices: [], usage },
    ]
      .map((one) => `data: ${JSON.stringify(one)}\n\n`)
      .join("")}data: [DONE]\n\n`,
  );
}

function quote(response: ServerResponse, status: number, credential: string, isPlain = false): void {
  const message = quoteAll(credential);
  response.writeHead(status, {
    "content-type": isPlain ? "text/plain" : "application/json",
    "x-your-credential": credential,
    "x-request-id": credential.replace(/[^\w-]/g, ""),
    "retry-after": "0",
  });
  response.end(
    isPlain ? message : JSON.stringify({ error: { message, type: credential, code: credential, param: credential } }),
  );
}

function quoteAll(credential: string): string {
  const base64 = Buffer.from(credential).toString("base64");
  return `Incorrect API key provided: ${credential} (${encodeURIComponent(credential)}, ${base64})`;
}

async function ask(
  region: "eu" | "us",
  model: string,
  more: object = {},
  path: "chat/completions" | "messages" | "responses" = "chat/completions",
  key = mesh.key,
): Promise<Response> {
  const prompt = path === "responses" ? { input: "Hello" } : { messages: [{ role: "user", content: "Hello" }] };
  const response = await fetch(`${mesh.routerUrl(region)}/v1/${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ model, ...prompt, ...(path === "messages" && { max_tokens: 16 }), ...more }),
  });
  answers.push(JSON.stringify([...response.headers]), await response.text());
  return response;
}

/** Runs `weir …` with something piped in, and returns what it printed. */
async function weir(args: readonly string[], piped?: string): Promise<string> {
  const words = ["cli/weir.js", ...args, "--data-dir", mesh.layout.dataDir];
  const command = startCommand("node", words, {}, piped && `${piped}\n`);
  const code = await command.ended;
  answers.push(command.output());
  expect([args.join(" "), code, command.output()]).toEqual([args.join(" "), 0, expect.anything()]);
  return command.output();
}

async function whenAnswered(status: number): Promise<void> {
  while ((await ask("eu", "well")).status !== status);
}

async function whenSent(credential: string, count: number): Promise<void> {
  while ((sent.get(credential) ?? 0) < count) await new Promise((resolve) => setImmediate(resolve));
}

async function readPages(): Promise<string[]> {
  const { ports } = mesh;
  const urls = [
    ...(["policy", "metering", "audit-control", "audit-eu", "audit-us"] as const).map(
      (name) => `${ports[name]}/metrics`,
    ),
    ...REGIONS.flatMap((region) => ["metrics", "state"].map((page) => `${ports[`router-${region}-admin`]}/${page}`)),
  ];
  const pages = await Promise.all(urls.map(async (url) => (await fetch(`http://127.0.0.1:${url}`)).text()));
  expect(pages.every((page) => page.length > 100)).toBe(true);
  return pages;
}

/** All that was planted, and what must never leave its file. */
function listCanaries(): Canary[] {
  const keys = join(mesh.layout.dataDir, "keys");
  const files = readdirSync(keys).filter((name) => name.endsWith(".key"));
  return [
    createCanary("provider credential 1", FIRST),
    createCanary("provider credential 2", SECOND),
    // The part of a key that is secret: what stands before it names it.
    createCanary("virtual key", toSecretPart(mesh.key)),
    ...files.flatMap((name) =>
      readFileSync(join(keys, name), "utf8")
        .trim()
        .split("\n")
        .map((line) => createCanary(name, toSecretPart(line))),
    ),
  ];
}

/** What of a virtual key, an admin key, a signing key or a region key is secret: what stands before it names it. */
function toSecretPart(key: string): string {
  const [, secret] = /^weir_[a-z-]+_[a-z2-7]{12}_(.{43})_/.exec(key) ?? [];
  const part =
    secret ??
    key
      .split("+")
      .slice(key.startsWith("REGION+") ? 5 : 4)
      .join("+");
  if (part.length < 40) throw new Error("Cannot search for a key: it has another form than those that are known");
  return part;
}
