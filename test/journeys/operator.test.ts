import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
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

/** One router, its region, the others, each as soon as those before have applied it. */
const QUICK_WAVES = {
  waves: [{ regions: ["eu"], routers: 1, bake: "0s" }, { regions: ["eu"], bake: "0s" }, { bake: "0s" }],
};

interface PolicyLists {
  models: { id: string; routes: object[] }[];
  targets: object[];
  limits: object[];
}

/** Writes the policy of the mesh, after a change to it, as a tree: a file for each of its lists, and one for the rest. Returns its folder. */
function writeTree(name: string, change: (lists: PolicyLists) => void): string {
  const policy = createTestPolicy(mesh.ports.provider) as PolicyLists & Record<string, unknown>;
  policy.limits = [{ id: "each-key", per: "LIMIT_PER_KEY", requestsPerMinute: 6_000 }];
  change(policy);
  const folder = join(mesh.layout.dataDir, name);
  mkdirSync(folder);
  const { models, targets, limits, ...rest } = policy;
  for (const [file, part] of Object.entries({ models: { models }, targets: { targets }, limits: { limits }, rest })) {
    writeFileSync(join(folder, `${file}.yaml`), stringify(part));
  }
  return folder;
}

async function readLatest(): Promise<{ version: string }> {
  return (await weirJson("policy", "show")).version as { version: string };
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
  it("gets every finding of a broken tree at once, with file, line and column, and exit code 1", async () => {
    const tree = writeTree("broken", (files) => {
      files.models[0]!.routes = [{ target: "nowhere/small" }];
      files.models[1]!.routes = [{ target: "nowhere/large" }];
      Object.assign(files.limits[0]!, { requestPerMinute: 5 });
    });

    const { code, output } = await weir("policy", "check", tree);
    expect(code).toBe(1);
    expect(output).toMatch(
      /limits\.yaml:\d+:\d+ {2}error {2}limits\[0\]\.requestPerMinute {2}FIELD_UNKNOWN .*"requestsPerMinute"/,
    );
    expect(output).toMatch(/models\.yaml:5:\d+ {2}error {2}models\[0\]\.routes\[0\]\.target {2}TARGET_UNKNOWN/);
    expect(output).toMatch(/models\.yaml:\d+:\d+ {2}error {2}models\[1\]\.routes\[0\]\.target {2}TARGET_UNKNOWN/);

    const asJson = await weir("policy", "check", tree, "--output", "json");
    const { findings } = JSON.parse(asJson.output) as { findings: { file: string; line: number; rule: string }[] };
    expect(findings).toHaveLength(3);
    expect(findings).toContainEqual(
      expect.objectContaining({ file: join(tree, "models.yaml"), line: 5, rule: "TARGET_UNKNOWN" }),
    );
    const refused = await weir("policy", "publish", tree);
    expect(refused.code).toBe(1);
    expect(refused.output).toMatch(/models\.yaml:5:[\s\S]*Cannot publish policy: ".*" has errors/);
  });

  it("fails on warnings only when asked to", async () => {
    const tree = writeTree("warned", (files) => {
      files.models[0]!.routes = files.models[0]!.routes.slice(0, 1);
    });

    expect((await weir("policy", "check", tree)).code).toBe(0);
    const strict = await weir("policy", "check", tree, "--strict");
    expect(strict.code).toBe(1);
    expect(strict.output).toContain("MODEL_ABSENT");
  });

  it("sees what a tree would change and for whom, publishes it, sees it reach every router, and rolls it back", async () => {
    const tree = writeTree("changed", (files) => {
      files.models.push({
        id: "brand-new",
        routes: [{ target: "scripted-eu/small" }, { target: "scripted-us/small" }],
      });
      Object.assign(files.targets[0]!, { prices: { input: "0.20", output: "0.60" } });
      Object.assign(files, { rollout: QUICK_WAVES });
    });
    expect((await weir("policy", "check", tree)).output).toContain("no findings");
    const diff = await weir("policy", "diff", tree, "--exit-code");
    expect(diff.code).toBe(1);
    expect(diff.output).toMatch(
      /target "scripted-eu\/small": input price 0\.15 → 0\.20 dollars per million tokens, used by model.*"small".* in eu {2}\[.*targets\.yaml:\d+:\d+\]/,
    );
    expect(diff.output).toContain('app "assistant" of team "search" (demo): gains model "brand-new" in eu, us (1 key)');

    const before = String((await readLatest()).version);
    const published = await weirJson("policy", "publish", tree, "--comment", "A new model", "--expect-version", before);
    const { version } = published.version as { version: string };
    const followed = await weir("policy", "status", "--follow");
    expect(followed.output).toMatch(new RegExp(`version ${version}: done`));
    expect(followed.code).toBe(0);
    await mesh.waitCurrent();
    expect((await chat(mesh.key, "brand-new")).status).toBe(200);
    const status = await weir("policy", "status");
    expect(status.output).toContain(`version ${version}: done`);
    expect(status.output).toMatch(/eu +eu-1 +yes .*current/);
    expect(status.output).toMatch(/us +us-1 +yes .*current/);
    expect(status.code).toBe(0);
    const same = (await weirJson("policy", "diff", tree, "--exit-code")) as { changes: unknown[] };
    expect(same.changes).toEqual([]);
    const back = (await weirJson("policy", "diff", tree, "--against", before)) as {
      changes: { kind: string; id: string; file?: string }[];
    };
    expect(back.changes).toContainEqual(
      expect.objectContaining({ kind: "CHANGE_KIND_ADDED", id: "brand-new", file: join(tree, "models.yaml") }),
    );

    for (const act of [
      ["publish", tree],
      ["rollback", before],
    ]) {
      const conflict = await weir("policy", ...act, "--expect-version", before);
      expect(conflict.code).toBe(1);
      expect(conflict.output).toMatch(new RegExp(`version ${version}, published 20.* by .+: "A new model"`));
    }
    const ended = await weir("policy", "halt");
    expect(ended.code).toBe(1);
    expect(ended.output).toContain(`Cannot halt release: that of version ${version} is done`);
    const rolledBack = await weir("policy", "rollback", before, "--expect-version", version, "--wait");
    expect(rolledBack.code).toBe(0);
    expect(rolledBack.output).toMatch(/version \d+: done, all at once/);
    expect(rolledBack.output).toContain(`has the content of version ${before}`);
    await mesh.waitCurrent();
    expect((await chat(mesh.key, "brand-new")).status).toBe(404);
    expect((await weir("policy", "show")).output).not.toContain("brand-new");
    expect((await weir("policy", "show", version)).output).toContain("brand-new");
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

describe("a key manager", () => {
  it("makes, reads, changes, rotates, disables, enables and revokes a key by commands that programs can read", async () => {
    const tenant = ["--organisation", "demo"];
    const keys = (...args: string[]) => weirJson("keys", ...args, ...tenant) as Promise<{ key: object }>;
    const use = async (secret: string) => {
      await mesh.waitCurrent();
      const response = await chat(secret);
      return response.headers.get("x-weir-reason") ?? response.status;
    };
    const made = (await keys(
      ...["create", "--team", "support", "--app", "tickets", "--environment", "production"],
      ...["--name", "Nightly", "--label", "purpose=nightly"],
    )) as { secret: string; key: { keyId: string; etag: string } };
    const { keyId, etag } = made.key;
    expect(await use(made.secret)).toBe(200);

    const got = await keys("get", keyId);
    const listed = (await keys("list", "--label", "purpose=nightly")) as unknown as { keys: object[] };
    const updated = await keys("update", keyId, "--etag", etag, "--requests-per-minute", "100", "--strict-after", "1h");
    const rotated = (await keys("rotate", keyId, "--overlap", "0")) as { key: object; secret: string };
    const used = [await use(made.secret), await use(rotated.secret)];
    for (const act of ["disable", "enable", "revoke"]) {
      const changed = (await keys(act, keyId)) as unknown as { keyrings: { region: string }[] };
      expect(changed.keyrings.map(({ region }) => region)).toEqual(["eu", "us"]);
      used.push(await use(rotated.secret));
    }

    expect(got.key).toMatchObject({
      keyId,
      displayName: "Nightly",
      labels: { purpose: "nightly" },
      state: "KEY_STATE_ACTIVE",
    });
    expect(JSON.stringify([got, listed, updated])).not.toContain(made.secret);
    expect(listed.keys).toMatchObject([{ keyId }]);
    expect(updated.key).toMatchObject({ keyId, requestsPerMinute: 100, strictAfter: "3600s", displayName: "Nightly" });
    expect(used).toEqual(["KEY_UNKNOWN", 200, "KEY_DISABLED", 200, "KEY_REVOKED"]);
    const refused = await Promise.all(
      [
        ["get", "aaaaaaaaaaaa", ...tenant],
        ["get", "no-key-id", ...tenant],
        ["update", keyId, ...tenant],
        ["update", keyId, ...tenant, "--etag", etag, "--requests-per-minute", "5"],
        ["rotate", keyId, ...tenant, "--overlap", "soon"],
        ["create", ...tenant, "--team", "support", "--app", "tickets"],
        ["list", ...tenant, "--state", "gone"],
      ].map((args) => weir("keys", ...args, "--output", "json")),
    );
    expect(refused.map(({ code }) => code)).toEqual(refused.map(() => 1));
    for (const [index, words] of [
      /aaaaaaaaaaaa/,
      /key_id/,
      /no setting is named/,
      /revoked|etag|changed/,
      /should be a span of time such as 45s/,
      /required option '--environment <id>'/,
      /Allowed choices are active, disabled, expired, revoked/,
    ].entries()) {
      expect(refused[index]?.output).toMatch(words);
    }
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
