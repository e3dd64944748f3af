import { createHash } from "node:crypto";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import { type Policy, PolicySchema } from "../../gen/weir/policy/v1/policy_pb.ts";
import {
  type PolicyService,
  type PolicyVersion,
  PolicyVersionSchema,
} from "../../gen/weir/policy/v1/policy_service_pb.ts";
import { getAccess } from "../shared/authority/access.ts";
import { WeirError } from "../shared/errors/weir-error.ts";
import { createPageToken, readNumberToken, readPageSize, readPageToken, readPlaceNumber } from "../shared/page.ts";
import { diffPolicy } from "./diff.ts";
import { type ChangeParts, publishPolicy, rollBackPolicy } from "./publish.ts";
import { findPolicy, listVersions, type StoredVersion } from "./store/policy-versions.ts";

const PAGE = { default: 50, max: 200 };
/** Changes are a sentence each: so many are little enough for an answer. */
const CHANGES_PAGE = { default: 2_000, max: 2_000 };

/** Serves weir.policy.v1.PolicyService. Any instance may answer; what is answered is the database's. */
export function createPolicyService(parts: ChangeParts): ServiceImpl<typeof PolicyService> {
  return {
    async checkPolicy({ policy }, { signal }) {
      return { findings: await parts.worker.check(toBinary(PolicySchema, orEmpty(policy)), signal) };
    },
    async diffPolicy({ policy: asked, againstVersion, pageSize, pageToken }, { signal }) {
      const policy = toBinary(PolicySchema, orEmpty(asked));
      const list = ["changes", sha256(policy), String(againstVersion)];
      // A version that was published since the first page is none of this list's.
      const [first = againstVersion, told = 0n] = readPageToken(list, pageToken, 2)?.map(readPlaceNumber) ?? [];
      const limit = readPageSize(pageSize, CHANGES_PAGE);
      const request = { policy, againstVersion: first, skip: Number(told), limit };
      const { against, changes, omittedChanges, findings } = await diffPolicy(parts, request, signal);
      const place = [String(against?.version ?? 0n), String(request.skip + changes.length)];
      return {
        ...(against && { against: toPolicyVersion(against) }),
        changes: [...changes],
        omittedChanges,
        findings: [...findings],
        nextPageToken: omittedChanges === 0n ? "" : createPageToken(list, place),
      };
    },
    async publishPolicy({ requestId, policy, expectedVersion, comment, allAtOnce }, context) {
      const { signal } = context;
      const { actor } = getAccess(context);
      const request = { actor, requestId, policy: orEmpty(policy), expectedVersion, comment, allAtOnce };
      const { version, findings } = await publishPolicy(parts, request, signal);
      return { version: toPolicyVersion(version), findings: [...findings] };
    },
    async getPolicy({ version }) {
      const found = await findPolicy(parts.pool, version);
      if (found === undefined) {
        const state = version === 0n ? "none was published yet" : `there is no version ${version}`;
        throw new WeirError("NOT_FOUND", `Cannot get policy: ${state}`, { facts: { version: String(version) } });
      }
      return { policy: fromBinary(PolicySchema, found.content), version: toPolicyVersion(found) };
    },
    async listPolicyVersions({ pageSize, pageToken }) {
      const limit = readPageSize(pageSize, PAGE);
      // One more than the page has, to know whether there is another.
      const found = await listVersions(parts.pool, {
        before: readNumberToken(["versions"], pageToken),
        limit: limit + 1,
      });
      const versions = found.slice(0, limit);
      const last = found.length > limit ? versions.at(-1) : undefined;
      return {
        versions: versions.map(toPolicyVersion),
        nextPageToken: last === undefined ? "" : createPageToken(["versions"], [String(last.version)]),
      };
    },
    async rollBackPolicy({ requestId, version, expectedVersion, comment, allAtOnce }, context) {
      const { signal } = context;
      const { actor } = getAccess(context);
      const made = await rollBackPolicy(
        parts,
        { actor, requestId, version, expectedVersion, comment, allAtOnce },
        signal,
      );
      return { version: toPolicyVersion(made) };
    },
  };
}

// A request without a policy is one with an empty policy, which has findings enough.
function orEmpty(policy: Policy | undefined): Policy {
  return policy ?? create(PolicySchema);
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("base64url");
}

function toPolicyVersion(stored: StoredVersion): PolicyVersion {
  const { organisation, version, digest, contentOf, comment, publishedAt, publishedBy, snapshots } = stored;
  return create(PolicyVersionSchema, {
    organisation,
    version,
    digest,
    contentOf,
    comment,
    publishedAt: timestampFromDate(publishedAt),
    publishedBy,
    snapshots: snapshots.map(({ region, version: of, digest: sum, sizeBytes }) => ({
      region,
      version: of,
      digest: sum,
      sizeBytes,
    })),
  });
}
