import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { createTestPolicy, type Mesh, startMesh } from "../mesh.ts";
import { startCommand } from "../processes.ts";

// A day of a platform engineer, of finance and of an auditor, with the `weir` command alone.

let mesh: Mesh;

beforeAll(async () => {
  mesh = await startMesh({ name: "operator" });
});

afterAll(() => mesh?.stop());

/** Runs `weir …` as a user would, and returns what it printed. */
async function weir(...args: string[]): Promise<{ code: number | NodeJS.Signals; output: string }> {
  const command = startCommand("node", ["cli/weir.js", ...args, "--data-dir", mesh.layout.dataDir]);
  const code = await command.ended;
  return { code, output: command.output() };
}

async function weirJson(...args: string[]): Promise<Record<string, unknown>> {
  const { code, output } = await weir(...args, "--output", "json");
  expect(output, args.join(" ")).toMatch(/^[[{]/);
  expect(code).toBe(0);
  return JSON.parse(output) as Record<string, unknown>;
}

function writePolicy(name: string, change: (policy: { models: { id: string; routes: object[] }[] }) => void): string {
  const policy = createTestPolicy(mesh.ports.provider) as { models: { id: string; routes: object[] }[] };
  change(policy);
  const path = join(mesh.layout.dataDir, name);
  writeFileSync(path, stringify(policy));
  return path;
}

async function chat(key: string, model = "small"): Promise<Response> {
  const response = await fetch(`${mesh.routerUrl("eu")}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ model, messages: [{ role: "user", content: "Hello" }] }),
  });
  await response.text();
  return response;
}

describe("a platform engineer", () => {
  it("gets every finding of a broken policy at once, and exit code 1", async () => {
    const path = writePolicy("broken.yaml", (policy) => {
      policy.models[0]!.routes = [{ target: "nowhere/small" }];
      policy.models[1]!.routes = [{ target: "nowhere/large" }];
    });

    const { code, output } = await weir("policy", "check", path);

    expect(code).toBe(1);
    expect(output).toContain("models[0].routes[0].target");
    expect(output).toContain("models[1].routes[0].target");
    expect((await weir("policy", "publish", path)).code).toBe(1);
  });

  it("publishes a policy, sees it reach every router, and rolls it back", async () => {
    const path = writePolicy("changed.yaml", (policy) => {
      policy.models.push({
        id: "brand-new",
        routes: [{ target: "scripted-eu/small" }, { target: "scripted-us/small" }],
      });
    });
    expect((await weir("policy", "check", path)).output).toContain("no findings");

    const published = await weirJson("policy", "publish", path, "--comment", "A new model");
    const version = (published.version as { version: string }).version;
    await mesh.waitCurrent();
    expect((await chat(mesh.key, "brand-new")).status).toBe(200);
    const status = await weir("policy", "status");
    expect(status.output).toMatch(/eu +eu-1 +yes .*current/);
    expect(status.output).toMatch(/us +us-1 +yes .*current/);
    expect(status.code).toBe(0);

    const before = String(BigInt(version) - 1n);
    expect((await weir("policy", "rollback", before)).output).toContain(`has the content of version ${before}`);
    await mesh.waitCurrent();
    expect((await chat(mesh.key, "brand-new")).status).toBe(404);
    expect((await weir("policy", "show")).output).not.toContain("brand-new");
    expect((await weir("policy", "list")).output).toContain("A new model");
  });

  it("makes a key, explains what it may do, and revokes it", async () => {
    const made = (await weirJson(
      ...["keys", "create", "--organisation", "demo", "--team", "support", "--app", "tickets"],
      ...["--environment", "production", "--model", "small", "--name", "Tickets"],
    )) as { secret: string; key: { keyId: string } };
    await mesh.waitCurrent();
    expect((await chat(made.secret)).status).toBe(200);

    const ask = ["explain", "--region", "eu", "--key", made.key.keyId, "--model"];
    const begins = await weir(...ask, "small");
    expect(begins.output).toMatch(/Would begin[\s\S]*scripted-eu\/small/);
    expect(begins.output).not.toContain("scripted-us");
    const denied = await weir(...ask, "large");
    expect(denied.output).toContain("MODEL_NOT_ALLOWED");
    expect(denied.code).toBe(1);

    const list = await weir("keys", "list", "--organisation", "demo");
    expect(list.output).toContain("Tickets");
    expect(list.output).not.toContain(made.secret);
    expect((await weir("keys", "revoke", made.key.keyId, "--organisation", "demo")).code).toBe(0);
    await mesh.waitCurrent();
    expect((await chat(made.secret)).status).toBe(401);
  });
});

describe("finance", () => {
  it("sees the spend of a team by model, within seconds", async () => {
    await chat(mesh.key, "large");

    await expect
      .poll(async () => (await weir("spend", "--organisation", "demo", "--by", "team,model")).output, {
        timeout: 20_000,
        interval: 500,
      })
      .toMatch(/search +large +\d+ +\d+ +\d+ +\$0\.\d+/);
    const { rows } = (await weirJson(
      ...["spend", "--organisation", "demo", "--by", "model", "--filter", "team=search", "model=large"],
    )) as { rows: { model: string; costNanos: string }[] };
    expect(rows).toHaveLength(1);
    expect(BigInt(rows[0]!.costNanos)).toBeGreaterThan(0n);
  });
});

describe("an auditor", () => {
  it("exports a log and verifies it offline, and finds any changed byte", async () => {
    const requestId = (await chat(mesh.key)).headers.get("x-request-id")!;
    const folder = join(mesh.layout.dataDir, "export-eu");
    const proofs = join(mesh.layout.dataDir, "proofs");
    await expect
      .poll(async () => (await weir("audit", "proof", requestId, "--region", "eu", "--out", proofs)).code, {
        timeout: 20_000,
        interval: 500,
      })
      .toBe(0);

    const proof = await weir("audit", "verify", join(proofs, `${requestId}.tlog-proof`));
    expect(proof.output).toContain("PROVEN: weir.local/audit/eu");
    expect((await weir("audit", "export", "--region", "eu", "--out", folder)).code).toBe(0);
    expect((await weir("audit", "verify", folder)).code).toBe(0);
    expect((await weir("audit", "get", requestId, "--region", "eu")).output).toContain('"model": "small"');

    const records = join(folder, "records.jsonl");
    const bytes = readFileSync(records);
    bytes[bytes.length >> 1]! ^= 1;
    writeFileSync(records, bytes);
    const changed = await weir("audit", "verify", folder);
    expect(changed.output).toContain("REFUSED");
    expect(changed.code).toBe(1);
  });

  it("finds policy and key changes in the log of the control plane", async () => {
    await expect
      .poll(async () => (await weir("audit", "list", "--region", "control")).output, { timeout: 20_000, interval: 500 })
      .toMatch(/policy version 1[\s\S]*key \w{12} made[\s\S]*key \w{12} revoked/);
  });
});
