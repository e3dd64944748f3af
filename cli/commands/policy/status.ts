import { create, toJson } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import { type Release, ReleaseSchema } from "../../../gen/weir/policy/v1/release_pb.ts";
import {
  type Instance,
  type LatestVersions,
  ListInstancesResponseSchema,
  ReleaseService,
} from "../../../gen/weir/policy/v1/release_service_pb.ts";
import { SnapshotPhase } from "../../../gen/weir/policy/v1/snapshot_service_pb.ts";
import { fromConnectError } from "../../../services/shared/errors/wire.ts";
import { CALL_OPTIONS, readPages, withClient } from "../../control-plane.ts";
import { escapeControl, formatTable, printJson } from "../../output.ts";
import type { Context } from "../context.ts";
import { describeProgress, describeRelease } from "./describe-release.ts";
import { followRelease } from "./follow.ts";

/** Options of `weir policy status`. */
export interface StatusOptions {
  /** Follow the release to its end. */
  readonly follow?: boolean;
}

/**
 * `weir policy status`: how far the latest version has come, and every router with what it runs. Exits 1 when a connected one does not run
 * what it is to run now, or a region has none; when followed, when the release does not reach every router.
 */
export async function status({ follow = false }: StatusOptions, context: Context): Promise<void> {
  if (follow) {
    process.exitCode = await followRelease(0n, context);
    return;
  }
  const latest = new Map<string, LatestVersions>();
  const [instances, releases] = await withClient(context.addresses.policy, ReleaseService, async (client) => [
    await readPages(async (pageToken) => {
      const page = await client.listInstances({ pageToken, pageSize: 1_000 }, CALL_OPTIONS);
      for (const versions of page.latest) latest.set(versions.region, versions);
      return { items: page.instances, nextPageToken: page.nextPageToken };
    }),
    await findReleases(client),
  ]);
  if (context.output === "json") {
    const response = create(ListInstancesResponseSchema, { instances, latest: [...latest.values()] });
    const releasesJson = releases.map((release) => toJson(ReleaseSchema, release));
    printJson({ ...(toJson(ListInstancesResponseSchema, response) as object), releases: releasesJson });
  } else {
    const lines = releases.flatMap((release) => [
      describeRelease(release),
      ...describeProgress(release).map((line) => `  ${line}`),
    ]);
    console.log([...lines, formatInstances(instances, latest)].join("\n"));
  }
  const connected = instances.filter((instance) => instance.connected);
  const isCurrent = connected.every((instance) => describeState(instance, latest.get(instance.region)) === "current");
  const isServed = [...latest.keys()].every((region) => connected.some((instance) => instance.region === region));
  process.exitCode = isCurrent && isServed ? 0 : 1;
}

// The release of the latest version, before it the one that it brought back the old content for. None before the first publish.
async function findReleases(client: Client<typeof ReleaseService>): Promise<Release[]> {
  const find = async (policyVersion: bigint): Promise<Release | undefined> => {
    try {
      return (await client.getRelease({ policyVersion }, CALL_OPTIONS)).release;
    } catch (error) {
      if (fromConnectError(error).reason === "NOT_FOUND") return undefined;
      throw error;
    }
  };
  const last = await find(0n);
  if (last === undefined) return [];
  const before = last.policyVersion > 1n ? await find(last.policyVersion - 1n) : undefined;
  return before?.rolledBackBy === last.policyVersion ? [before, last] : [last];
}

function formatInstances(instances: readonly Instance[], latest: ReadonlyMap<string, LatestVersions>): string {
  return formatTable(
    ["region", "instance", "connected", "snapshot", "of", "keyring", "of", "state"],
    instances.map((instance) => {
      const newest = latest.get(instance.region);
      return [
        instance.region,
        instance.instance,
        instance.connected ? "yes" : "no",
        String(instance.snapshot?.version ?? 0n),
        String(instance.wantedVersion),
        String(instance.keyring?.version ?? 0n),
        String(newest?.keyringVersion ?? 0n),
        describeState(instance, newest),
      ];
    }),
  );
}

/** In words whether an instance runs what it is to run. */
function describeState(instance: Instance, latest: LatestVersions | undefined): string {
  const refused = [instance.snapshot, instance.keyring].find((running) => running?.phase === SnapshotPhase.REFUSED);
  if (refused) return escapeControl(`refused version ${refused.reportedVersion}: ${refused.reasons.join("; ")}`);
  const isCurrent =
    (instance.snapshot?.version ?? 0n) >= instance.wantedVersion &&
    (instance.keyring?.version ?? 0n) >= (latest?.keyringVersion ?? 0n);
  return isCurrent ? "current" : "behind";
}
