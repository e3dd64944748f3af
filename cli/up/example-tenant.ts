import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { equals } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { KeyService } from "../../gen/weir/policy/v1/key_service_pb.ts";
import { type Policy, PolicySchema } from "../../gen/weir/policy/v1/policy_pb.ts";
import { PolicyService } from "../../gen/weir/policy/v1/policy_service_pb.ts";
import { WeirError } from "../../services/shared/errors/weir-error.ts";
import type { Endpoint } from "../addresses.ts";
import { CALL_OPTIONS, readPages, withClient } from "../control-plane.ts";
import { EXAMPLE_COMMENT } from "./example-policy.ts";
import { writeSecretFile } from "./secret-file.ts";

/** Who pays in the example policy, and whom the demo key belongs to. */
export const DEMO_TENANT = {
  organisation: "demo",
  team: "search",
  app: "assistant",
  environment: "production",
} as const;

/**
 * Publishes the example policy when there is no policy yet, or when the latest one is an example that has become outdated (other
 * port, other providers). A policy of the user's own is left alone. Returns the version it published, or `undefined`.
 */
export async function publishExampleWhereMissing(endpoint: Endpoint, example: Policy): Promise<bigint | undefined> {
  return withClient(endpoint, PolicyService, async (client) => {
    const latest = await client.getPolicy({}, CALL_OPTIONS).catch((error: unknown) => {
      if (isNotFound(error)) {
        return undefined;
      }
      throw error;
    });
    const isOurs = latest === undefined || latest.version?.comment === EXAMPLE_COMMENT;
    if (!isOurs || (latest?.policy && equals(PolicySchema, latest.policy, example))) {
      return undefined;
    }
    const { version } = await client.publishPolicy(
      {
        requestId: randomUUID(),
        policy: example,
        comment: EXAMPLE_COMMENT,
        expectedVersion: latest?.version?.version ?? 0n,
        // The mesh starts with it, or with other ports: nothing that runs is worth waiting for.
        allAtOnce: true,
      },
      CALL_OPTIONS,
    );
    return version?.version;
  });
}

/** Makes a key for the demo tenant and returns it. */
export async function createTenantKey(
  policy: Endpoint,
  options: { readonly displayName: string; readonly models?: readonly string[]; readonly requestsPerMinute?: number },
): Promise<{ keyId: string; secret: string }> {
  return withClient(policy, KeyService, async (client) => {
    const { key, secret } = await client.createKey(
      {
        requestId: randomUUID(),
        ...DEMO_TENANT,
        displayName: options.displayName,
        models: [...(options.models ?? ["*"])],
        requestsPerMinute: options.requestsPerMinute ?? 0,
      },
      CALL_OPTIONS,
    );
    return { keyId: key!.keyId, secret };
  });
}

/**
 * Returns the demo key: the one of its file when policy still honours it, else a new one, which is written there (mode 0600), since
 * policy itself keeps no more than a hash.
 */
export async function getDemoKey(policy: Endpoint, path: string): Promise<string> {
  const kept = readKey(path);
  if (kept !== undefined && (await isHonoured(policy, kept))) {
    return kept;
  }
  const { secret } = await createTenantKey(policy, { displayName: "Demo key of weir up" });
  writeSecretFile(path, `${secret}\n`);
  return secret;
}

function readKey(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim() || undefined;
  } catch {
    return undefined;
  }
}

async function isHonoured(policy: Endpoint, key: string): Promise<boolean> {
  const keyId = key.split("_")[2];
  const keys = await withClient(policy, KeyService, (client) =>
    readPages(async (pageToken) => {
      const page = await client.listKeys({ organisation: DEMO_TENANT.organisation, pageToken }, CALL_OPTIONS);
      return { items: page.keys, nextPageToken: page.nextPageToken };
    }),
  );
  return keys.some((item) => item.keyId === keyId && item.revokedAt === undefined && item.expiresAt === undefined);
}

function isNotFound(error: unknown): boolean {
  return (
    (error instanceof ConnectError && error.code === Code.NotFound) ||
    (error instanceof WeirError && error.reason === "NOT_FOUND")
  );
}
