import { clone, create, toBinary } from "@bufbuild/protobuf";
import { LimitSchema, type Model, ModelSchema, type Policy } from "../../../gen/weir/policy/v1/policy_pb.ts";
import {
  type Snapshot,
  type SnapshotProvider,
  SnapshotProviderSchema,
  SnapshotSchema,
  type SnapshotTarget,
  SnapshotTargetSchema,
} from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import { WeirError } from "../../shared/errors/weir-error.ts";
import { snapshotDigest } from "../../shared/snapshot/digest.ts";
import { readBaseUrl } from "./base-url.ts";
import { compileRules } from "./compile-rules.ts";
import { compilePrices } from "./prices.ts";
import { fillTimeouts, pickTimeouts } from "./timeouts.ts";

/** Which snapshot is to be compiled. */
export interface CompileOptions {
  /** Id of the region. */
  readonly region: string;
  /** Version of the snapshot within the region, from 1. */
  readonly version: bigint;
  /** Version of the policy, from 1. */
  readonly policyVersion: bigint;
}

/** A snapshot as it is stored, signed and sent. */
export interface CompiledSnapshot {
  readonly region: string;
  readonly version: bigint;
  /** The encoding: what routers verify and decode. */
  readonly content: Uint8Array;
  /** SHA-256 of the encoding. */
  readonly digest: Uint8Array;
  /** Names of the features that a router must have to run it, sorted. */
  readonly features: readonly string[];
}

/** The most bytes of a snapshot: a thousand times what a large organisation needs, and small enough for every router. */
export const SNAPSHOT_LIMIT_BYTES = 16 * 2 ** 20;
/** As documented at weir.policy.v1.Target. */
const DEFAULT_OUTPUT_TOKENS = 128_000n;

/**
 * Compiles the snapshot of one region: only what may serve its callers, every default filled in, prices as integers. The same
 * arguments always give the same bytes. The policy must have passed its check.
 */
export function compileSnapshot(policy: Policy, options: CompileOptions): CompiledSnapshot {
  const snapshot = createSnapshot(policy, options);
  const content = toBinary(SnapshotSchema, snapshot);
  // A router that does not know rules would skip those that deny.
  const features = snapshot.rules.length > 0 ? ["rules"] : [];
  return { ...options, content, digest: snapshotDigest(content), features };
}

/** The snapshot as a message, before it is encoded. */
function createSnapshot(policy: Policy, { region, version, policyVersion }: CompileOptions): Snapshot {
  // Residency comes before everything else: what may not serve the region is gone before anything can lead to it.
  const resident = policy.providers.filter((provider) => provider.regions.includes(region));
  const providerIds = new Set(resident.map(({ id }) => id));
  const reachable = policy.targets.filter(({ provider }) => providerIds.has(provider));
  const targetIds = new Set(reachable.map(({ id }) => id));
  const models = policy.models.flatMap((model) => compileModel(model, targetIds));
  const used = new Set(models.flatMap(({ routes }) => routes.map(({ target }) => target)));
  const targets = reachable.filter(({ id }) => used.has(id));
  const usedProviders = new Set(targets.map(({ provider }) => provider));
  const snapshot = create(SnapshotSchema, {
    region,
    version,
    policyVersion,
    organisation: policy.organisation,
    providers: resident
      .filter(({ id }) => usedProviders.has(id))
      .map((provider) => compileProvider(policy, provider))
      .sort(byId),
    targets: targets.map(compileTarget).sort(byId),
    models: models.sort(byId),
    limits: policy.limits.map((limit) => clone(LimitSchema, limit)).sort(byId),
  });
  snapshot.rules = compileRules(policy, snapshot);
  return snapshot;
}

function compileModel(model: Model, targetIds: ReadonlySet<string>): Model[] {
  const routes = model.routes.filter(({ target }) => targetIds.has(target));
  if (routes.length === 0) return [];
  return [
    create(ModelSchema, {
      id: model.id,
      displayName: model.displayName || model.id,
      routes: routes.map(({ target, priority, weight }) => ({ target, priority, weight: weight || 1 })),
    }),
  ];
}

function compileProvider(policy: Policy, provider: Policy["providers"][number]): SnapshotProvider {
  const reading = readBaseUrl(provider.baseUrl);
  if (!("url" in reading)) throw unchecked(`provider "${provider.id}" has no usable base_url`);
  const { id, dialect, credential, apiVersion, cloudRegion, server, inexpressible } = provider;
  return create(SnapshotProviderSchema, {
    id,
    dialect,
    baseUrl: reading.url,
    credential,
    ...fillTimeouts(provider, policy.timeouts),
    apiVersion,
    cloudRegion,
    server,
    inexpressible,
  });
}

function compileTarget(target: Policy["targets"][number]): SnapshotTarget {
  const { id, provider, model, prices, maxOutputTokens, timeouts } = target;
  if (prices === undefined) throw unchecked(`target "${id}" has no prices`);
  return create(SnapshotTargetSchema, {
    id,
    provider,
    model,
    prices: compilePrices(prices),
    maxOutputTokens: maxOutputTokens || DEFAULT_OUTPUT_TOKENS,
    ...pickTimeouts(timeouts),
  });
}

// Ids are ASCII, so this is also the order of their bytes.
function byId(a: { readonly id: string }, b: { readonly id: string }): number {
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
}

function unchecked(state: string): WeirError {
  return new WeirError("INTERNAL", `Cannot compile snapshot: ${state}, though the policy was checked`);
}
