/** Policies and keys for tests with a whole mesh: clients of the policy service, and a chat to see what a router does. */
import { randomUUID } from "node:crypto";
import type { DescService } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import { CALL_OPTIONS, withClient } from "../cli/control-plane.ts";
import { toPolicy } from "../cli/policy-file.ts";
import type { Region } from "../cli/up/layout.ts";
import { KeyService } from "../gen/weir/policy/v1/key_service_pb.ts";
import type { Policy } from "../gen/weir/policy/v1/policy_pb.ts";
import { PolicyService } from "../gen/weir/policy/v1/policy_service_pb.ts";
import { type ListInstancesResponse, ReleaseService } from "../gen/weir/policy/v1/release_service_pb.ts";
import { createTestPolicy, DEMO_TENANT, type Mesh } from "./mesh.ts";

/** What the policy of a test looks like before it is changed. */
export interface PolicyJson {
  models: { id: string; routes: { target: string; priority?: number; weight?: number }[] }[];
  targets: { id: string; provider: string }[];
  providers: { id: string; baseUrl: string; regions: string[] }[];
  [field: string]: unknown;
}

/** The policy of the test mesh after a change. */
export function changePolicy(mesh: Mesh, change: (policy: PolicyJson) => void = () => {}): Policy {
  const policy = createTestPolicy(mesh.ports.provider) as PolicyJson;
  change(policy);
  return toPolicy(policy, "test policy");
}

/** Asks the policy service. */
export function askPolicy<S extends DescService, T>(
  mesh: Mesh,
  service: S,
  ask: (client: Client<S>) => Promise<T>,
): Promise<T> {
  return withClient(mesh.addresses.policy, service, ask);
}

/** Publishes a policy for all routers at once and returns its version, without waiting for anyone. */
export async function publishPolicy(mesh: Mesh, policy: Policy, comment = ""): Promise<bigint> {
  const request = { requestId: randomUUID(), policy, comment, allAtOnce: true };
  const { version } = await askPolicy(mesh, PolicyService, (client) => client.publishPolicy(request, CALL_OPTIONS));
  return version?.version ?? 0n;
}

/** Revokes a key of the demo tenant. */
export async function revokeKey(mesh: Mesh, keyId: string, comment = "") {
  const request = { requestId: randomUUID(), organisation: DEMO_TENANT.organisation, keyId, comment };
  return await askPolicy(mesh, KeyService, (client) => client.revokeKey(request, CALL_OPTIONS));
}

/** What every router says it runs. */
export function readStatus(mesh: Mesh): Promise<ListInstancesResponse> {
  return askPolicy(mesh, ReleaseService, (client) => client.listInstances({}, CALL_OPTIONS));
}

/** What came of a chat. */
export interface ChatAnswer {
  readonly status: number;
  /** Why it was refused; empty when it was not. */
  readonly reason: string;
  readonly requestId: string;
  readonly target: string;
  /** Versions that it ran under. */
  readonly snapshot: bigint;
  readonly keyring: bigint;
}

/** Asks the router of a region for a small answer. Throws when it can't be reached. */
export async function askRouter(mesh: Mesh, region: Region, key: string, model = "small"): Promise<ChatAnswer> {
  const response = await fetch(`${mesh.routerUrl(region)}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ model, messages: [{ role: "user", content: "Hello" }] }),
  });
  await response.arrayBuffer();
  const header = (name: string) => response.headers.get(name) ?? "";
  return {
    status: response.status,
    reason: header("x-weir-reason"),
    requestId: header("x-request-id"),
    target: header("x-weir-target"),
    snapshot: BigInt(header("x-weir-snapshot") || 0),
    keyring: BigInt(header("x-weir-keyring") || 0),
  };
}
