import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  CredentialService,
  type ReportCredentialsRequest,
  type WatchCredentialsRequest,
} from "../../../gen/weir/policy/v1/credential_service_pb.ts";
import { createTestAuthority } from "../../shared/authority/authority.fixture.ts";
import { systemClock } from "../../shared/clock.ts";
import type { KeyUnwrapper } from "../../shared/credential/key-wrapper.ts";
import { TestKms } from "../../shared/credential/kms.fixture.ts";
import { createMeshTransport } from "../../shared/mesh/client.ts";
import { Health } from "../../shared/mesh/health.ts";
import { startMeshServer } from "../../shared/mesh/server.ts";
import { createLog } from "../../shared/telemetry/log.ts";
import type { CredentialSource } from "./credential.ts";
import type { SealedSet } from "./hold.ts";
import { keepCredentials } from "./keep.ts";
import { seal, signSet, TRUST, UNWRAPPER } from "./sets.fixture.ts";

const log = createLog({ service: "test", level: "fatal" });
const closing: (() => Promise<void>)[] = [];
let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "weir-credentials-"));
});
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
  rmSync(directory, { recursive: true, force: true });
});

describe("keepCredentials()", () => {
  it("takes what policy sends, says what it uses, and hears of the next one at once", async () => {
    const policy = await startPolicy();
    policy.send(signSet(1n, [await seal("openai", 1n, "sk-1")]));
    const source = keep(policy.port);
    await until(source, () => secretOf(source) === "sk-1");

    policy.send(signSet(2n, [await seal("openai", 2n, "sk-2")]));
    await until(source, () => secretOf(source) === "sk-2");

    let report = await policy.nextReport();
    while (report?.setVersion === 1n) report = await policy.nextReport();
    expect(report).toMatchObject({
      region: "eu",
      instance: "eu-1",
      setVersion: 2n,
      held: [{ name: "openai", version: 2n, refusal: "" }],
    });
    expect(policy.asked[0]).toMatchObject({ region: "eu", instance: "eu-1", setVersion: 0n });
  });

  it("starts from disk while policy is away, and says later what it holds", async () => {
    const policy = await startPolicy();
    policy.send(signSet(1n, [await seal("openai", 1n, "sk-1")]));
    const first = keep(policy.port);
    await until(first, () => secretOf(first) === "sk-1");
    await first.close();
    await policy.stop();

    const second = keep(policy.port);
    await until(second, () => second.isLoaded());

    expect(secretOf(second)).toBe("sk-1");
    const back = await startPolicy(policy.port);
    expect(await back.nextReport()).toMatchObject({ setVersion: 1n, held: [{ name: "openai", version: 1n }] });
  });

  it("is loaded only once the newest set on disk is open, not with an older one that lacks a credential", async () => {
    const policy = await startPolicy();
    policy.send(signSet(1n, []));
    const first = keep(policy.port);
    await until(first, () => first.isLoaded());
    policy.send(signSet(2n, [await seal("openai", 1n, "sk-1")]));
    await until(first, () => secretOf(first) === "sk-1");
    await first.close();
    await policy.stop();

    const second = keep(policy.port);
    await until(second, () => second.isLoaded());

    expect(secretOf(second)).toBe("sk-1");
  });

  it("is not loaded before policy was heard, and is when policy has nothing", async () => {
    const policy = await startPolicy();
    const source = keep(policy.port);
    const before = source.isLoaded();

    policy.beat();
    await until(source, () => source.isLoaded());

    expect(before).toBe(false);
    expect(source.list()).toEqual([]);
  });

  it("tries again by itself until a key management service is back", async () => {
    const kms = new TestKms();
    const policy = await startPolicy();
    const sealed = await seal("openai", 1n, "sk-1", kms);
    kms.failures = 2;
    policy.send(signSet(1n, [sealed]));

    const source = keep(policy.port, kms);
    await until(source, () => secretOf(source) === "sk-1");

    expect(kms.failures).toBe(0);
    expect(source.list()).toMatchObject([{ version: 1n, refusal: "" }]);
  });
});

function keep(port: number, unwrapper: KeyUnwrapper = UNWRAPPER): CredentialSource {
  const transport = createMeshTransport({ addresses: [`127.0.0.1:${port}`] });
  const source = keepCredentials({
    name: { region: "eu", instance: "eu-1", boot: "b1" },
    trust: TRUST,
    unwrapper,
    directory,
    transport,
    log,
    clock: systemClock,
  });
  closing.push(async () => {
    await source.close();
    transport.close();
  });
  return source;
}

/** Resolves when something has become true of a source, which tells of each change. */
function until(source: CredentialSource, isTrue: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    const look = () => isTrue() && resolve();
    source.onChange(look);
    look();
  });
}

function secretOf(source: CredentialSource): string | undefined {
  return source.current()("acme", "openai")?.secret;
}

/** A policy of a test: sends what it is told to, to all who watch. */
async function startPolicy(port = 0) {
  const asked: WatchCredentialsRequest[] = [];
  const reports: ReportCredentialsRequest[] = [];
  let changed = Promise.withResolvers<void>();
  let reported = Promise.withResolvers<void>();
  let set: SealedSet | undefined;
  let hasBeat = false;
  const wake = () => {
    changed.resolve();
    changed = Promise.withResolvers<void>();
  };
  const server = await startMeshServer({
    authority: createTestAuthority(),
    listen: { host: "127.0.0.1", port },
    routes: (router) =>
      router.service(CredentialService, {
        async *watchCredentials(request, { signal }) {
          asked.push(request);
          let sent: SealedSet | undefined;
          const left = new Promise<void>((resolve) =>
            signal.addEventListener("abort", () => resolve(), { once: true }),
          );
          while (!signal.aborted) {
            const next = changed.promise;
            if (set !== sent && set !== undefined) yield { piece: { case: "delivery" as const, value: set } };
            else if (hasBeat || request.setVersion > 0n)
              yield { piece: { case: "heartbeat" as const, value: { setVersion: request.setVersion } } };
            sent = set;
            await Promise.race([next, left]);
          }
        },
        reportCredentials(report) {
          reports.push(report);
          reported.resolve();
          return {};
        },
      }),
    services: [CredentialService],
    reflection: false,
    health: new Health(),
    log,
  });
  let isStopped = false;
  const stop = async () => {
    if (isStopped) return;
    isStopped = true;
    await server.close();
  };
  closing.push(stop);
  return {
    port: server.address.port,
    asked,
    stop,
    send: (next: SealedSet) => {
      set = next;
      wake();
    },
    beat: () => {
      hasBeat = true;
      wake();
    },
    /** The next report that was not read yet. */
    nextReport: async () => {
      while (reports.length === 0) {
        await reported.promise;
        reported = Promise.withResolvers<void>();
      }
      return reports.shift();
    },
  };
}
