import { randomUUID } from "node:crypto";
import { join } from "node:path";
import type { GetInclusionProofResponse } from "../../gen/weir/audit/v1/audit_service_pb.ts";
import { SpendService } from "../../gen/weir/metering/v1/spend_service_pb.ts";
import { PolicyService } from "../../gen/weir/policy/v1/policy_service_pb.ts";
import { ReleaseService } from "../../gen/weir/policy/v1/release_service_pb.ts";
import { verifyRecord } from "../../services/audit/verification/verify-record.ts";
import { readProof } from "../../services/audit/verification/write-proof.ts";
import type { Endpoint } from "../addresses.ts";
import { readTrust, saveProof, withAuditLog } from "../audit-log.ts";
import { formatSpend, querySpend } from "../commands/spend.ts";
import { CALL_OPTIONS, withClient } from "../control-plane.ts";
import { createAuditOrigin } from "../keygen.ts";
import { toPolicy } from "../policy-file.ts";
import { createExamplePolicy, EXAMPLE_COMMENT } from "../up/example-policy.ts";
import { createTenantKey, DEMO_TENANT } from "../up/example-tenant.ts";
import { REGIONS, type Region } from "../up/layout.ts";
import type { RunningMesh } from "../up/up.ts";
import { askStreamed, askUnary, type SeenChat } from "./chat.ts";

/** How long usage may take to become spend, and a record to be proven. Both take a second or two. */
const SETTLE_MS = 30_000;

/** A chat of the demo, with the region that it went to. */
interface DemoChat extends SeenChat {
  readonly region: Region;
}

/**
 * The main job, step by step on a running mesh: publish the example policy, chat with each region, see the spend, fetch a proof and
 * verify it offline. Prints the result of each step. Throws when one fails; those after it are not tried.
 */
export async function runDemo(mesh: RunningMesh, signal: AbortSignal): Promise<void> {
  const { addresses } = mesh;
  const step = createStepPrinter(signal);

  await step("publish the example policy", async () => {
    const version = await publishExample(mesh);
    await waitApplied(addresses.policy, signal);
    return `version ${version}, applied by the routers of ${REGIONS.join(" and ")}`;
  });

  // A key of its own, so that the spend shown is that of these chats and no others.
  const { keyId, secret } = await step(
    "make a key",
    () => createTenantKey(addresses.policy, { displayName: "Demo" }),
    ({ keyId: id }) => `${id} of ${DEMO_TENANT.team}/${DEMO_TENANT.app}, kept as a hash`,
  );
  await waitApplied(addresses.policy, signal);

  const chats: DemoChat[] = [];
  for (const region of REGIONS) {
    const baseUrl = `http://${addresses.router[region]}/v1`;
    for (const [name, model, ask] of [
      ["a chat", "small", askUnary],
      ["a stream", "large", askStreamed],
    ] as const) {
      const chat = await step(
        `${name} with ${region}`,
        async () => ({ ...(await ask(baseUrl, secret, model)), region }),
        ({ target, pieces, tokens, text }) =>
          `${JSON.stringify(text.slice(0, 48))} from ${target}, ${pieces} ${pieces === 1 ? "piece" : "pieces"}, ${tokens} tokens`,
      );
      chats.push(chat);
    }
  }

  await step("usage becomes spend", async () => {
    await waitPosted(addresses.metering, chats, signal);
    const rows = await querySpend(addresses, {
      organisation: DEMO_TENANT.organisation,
      by: ["team", "model"],
      filters: [{ dimension: "key", values: [keyId] }],
    });
    const calls = rows.reduce((sum, row) => sum + row.calls, 0n);
    if (calls !== BigInt(chats.length)) {
      throw new Error(`Cannot accept spend: it counts ${calls} calls, should be ${chats.length}`);
    }
    return `by team and model:\n\n${indent(formatSpend(["team", "model"], rows))}\n`;
  });

  const chat = chats[0]!;
  const path = await step(
    "fetch the proof of a chat",
    async () => {
      const response = await waitProven(mesh, chat, signal);
      const proof = await saveProof(response, join(mesh.layout.dataDir, "demo"));
      return { proof, index: response.record!.index, size: response.checkpoint!.treeSize };
    },
    ({ proof, index, size }) => `record ${index} of ${size} in the log of ${chat.region}, kept as ${proof}`,
  );

  await step("verify it offline", async () => {
    const verdict = await verifyRecord(await readProof(path.proof), {
      verifiers: readTrust(addresses.trust),
      origin: createAuditOrigin(chat.region),
    });
    if (verdict.kind === "refused") {
      throw new Error(verdict.message);
    }
    return `PROVEN by ${verdict.origin}, ${verdict.size} records, root ${Buffer.from(verdict.root).toString("base64")}`;
  });
}

/** Prints each step when it ended, with its number, time and result. */
function createStepPrinter(signal: AbortSignal) {
  let number = 0;
  return async function step<Result>(
    name: string,
    act: () => Promise<Result>,
    describe: (result: Result) => string = String,
  ): Promise<Result> {
    signal.throwIfAborted();
    number += 1;
    const started = performance.now();
    const label = `${number}. ${name}`;
    try {
      const result = await act();
      const seconds = ((performance.now() - started) / 1000).toFixed(1);
      console.log(`${label.padEnd(30)} ok, ${seconds} s: ${describe(result)}`);
      return result;
    } catch (error) {
      console.log(`${label.padEnd(30)} FAILED`);
      throw error;
    }
  };
}

async function publishExample(mesh: RunningMesh): Promise<bigint> {
  const policy = toPolicy(createExamplePolicy(mesh.ports.provider, mesh.modelProviders), "example policy");
  return withClient(mesh.addresses.policy, PolicyService, async (client) => {
    const { version } = await client.publishPolicy(
      { requestId: randomUUID(), policy, comment: EXAMPLE_COMMENT, allAtOnce: true },
      CALL_OPTIONS,
    );
    return version!.version;
  });
}

/** Waits until a router of each region has reported that it runs the latest versions. */
async function waitApplied(policy: Endpoint, signal: AbortSignal): Promise<void> {
  await withClient(policy, ReleaseService, (client) =>
    until("policy to reach every region", signal, async () => {
      const { instances, latest } = await client.listInstances({}, CALL_OPTIONS);
      const isCurrent = (region: string) => {
        const newest = latest.find((versions) => versions.region === region);
        return instances.some(
          (instance) =>
            instance.region === region &&
            newest !== undefined &&
            (instance.snapshot?.version ?? 0n) >= newest.snapshotVersion &&
            (instance.keyring?.version ?? 0n) >= newest.keyringVersion,
        );
      };
      return REGIONS.every(isCurrent) || undefined;
    }),
  );
}

/** Waits until the ledger holds entries of each of these chats. */
async function waitPosted(metering: Endpoint, chats: readonly DemoChat[], signal: AbortSignal): Promise<void> {
  await withClient(metering, SpendService, (client) =>
    until("usage to be posted", signal, async () => {
      for (const { requestId } of chats) {
        const { entries } = await client.listLedgerEntries(
          { organisation: DEMO_TENANT.organisation, eventId: requestId },
          CALL_OPTIONS,
        );
        if (entries.length === 0) {
          return undefined;
        }
      }
      return true;
    }),
  );
}

/** Waits until a checkpoint covers the record of this chat, and returns its proof. */
async function waitProven(mesh: RunningMesh, chat: DemoChat, signal: AbortSignal): Promise<GetInclusionProofResponse> {
  return withAuditLog(mesh.addresses.audit, chat.region, (client) =>
    until("the record to be in the log", signal, () =>
      client.getInclusionProof({ recordId: chat.requestId }, CALL_OPTIONS),
    ),
  );
}

/** Asks again and again until there is an answer. An error counts as "not yet", and is thrown when the time is over. */
async function until<Result>(
  what: string,
  signal: AbortSignal,
  ask: () => Promise<Result | undefined>,
): Promise<Result> {
  const deadline = AbortSignal.timeout(SETTLE_MS);
  let last: unknown;
  while (!deadline.aborted) {
    signal.throwIfAborted();
    try {
      const result = await ask();
      if (result !== undefined) {
        return result;
      }
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const reason = last instanceof Error ? ` (${last.message})` : "";
  throw new Error(`Cannot go on: waited ${SETTLE_MS / 1000} s for ${what}${reason}`);
}

function indent(text: string): string {
  return text.replaceAll(/^/gm, "     ");
}
