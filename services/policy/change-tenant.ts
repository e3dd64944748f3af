/** A tenant whose keys are refused, and its way back. Each change is the next version of the keyring in every region. */
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { KeyChange } from "../../gen/weir/audit/v1/record_pb.ts";
import { appendToOutbox } from "../shared/database/outbox.ts";
import type { PoolClient } from "../shared/database/pool.ts";
import type { Acting } from "./acting.ts";
import { createKeyRecord } from "./distribution/key-record.ts";
import { mintKeyring } from "./distribution/mint-keyring.ts";
import { findPathViolations } from "./keys/check-key.ts";
import { encodeDisabledTenant } from "./keys/grant.ts";
import { afterCommit, type ChangeParts } from "./publish.ts";
import { change } from "./store/change.ts";
import { findEntry, findLatestKeyring } from "./store/keyrings.ts";
import { listRegions } from "./store/snapshots.ts";
import { hasLivingKeys } from "./store/virtual-keys.ts";

/** What a change of a tenant is asked with. Safe to repeat: what is asked for is a state. */
export interface TenantChangeRequest {
  readonly requestId: string;
  /** "organisation", "organisation/team" or "organisation/team/app". */
  readonly tenant: string;
  readonly comment: string;
}

/** The keyring by which each region acts on the change. */
export type TenantKeyrings = readonly { readonly region: string; readonly version: bigint }[];

/**
 * Disables a tenant; a disabled one stays as it is. Throws ARGUMENT_INVALID for one that the published policy lacks, unless keys of it are still
 * honoured.
 */
export async function disableTenant(
  parts: ChangeParts,
  request: TenantChangeRequest,
  acting: Acting,
): Promise<TenantKeyrings> {
  return await changeTenant(parts, request, acting, async (client, before, at) => {
    if (before !== undefined) return undefined;
    const { tenant } = request;
    // Keys outlive their tenant in the policy, and routers may run one of before.
    if (!(await hasLivingKeys(client, tenant))) {
      await parts.current.check(client, "disable tenant", (policy) => findPathViolations(policy, tenant));
    }
    return {
      change: KeyChange.TENANT_DISABLED,
      after: encodeDisabledTenant({ tenant, disabledAt: timestampFromDate(at) }),
    };
  });
}

/** Enables a tenant again; one that is not disabled stays as it is. */
export async function enableTenant(
  parts: ChangeParts,
  request: TenantChangeRequest,
  acting: Acting,
): Promise<TenantKeyrings> {
  return await changeTenant(parts, request, acting, async (_client, before) =>
    before === undefined ? undefined : { change: KeyChange.TENANT_ENABLED, after: undefined },
  );
}

interface TenantEdit {
  readonly change: KeyChange;
  /** The entry afterwards; absent when there is none. */
  readonly after: Uint8Array | undefined;
}

async function changeTenant(
  parts: ChangeParts,
  { requestId, tenant, comment }: TenantChangeRequest,
  { access: { actor }, signal }: Acting,
  edit: (client: PoolClient, before: Uint8Array | undefined, at: Date) => Promise<TenantEdit | undefined>,
): Promise<TenantKeyrings> {
  const { signer, clock, catalogue } = parts;
  const id = `tenant:${tenant}`;
  const keyrings = await change(
    parts.pool,
    async (client) => {
      const at = new Date(clock.nowMs());
      const regions = (await listRegions(client)).map(({ region }) => region);
      const entry = await findEntry(client, id);
      const edited = await edit(client, entry?.grant, at);
      if (edited === undefined) {
        // An entry that is gone names no version: the latest keyring lacks it in any case.
        const version = entry?.version ?? (await findLatestKeyring(client))?.version ?? 0n;
        return regions.map((region) => ({ region, version }));
      }
      const { after } = edited;
      const changes = [{ id, grant: after }];
      const minted = await mintKeyring(client, { known: catalogue.keyring, changes, regions, signer, at });
      const organisation = tenant.split("/")[0] as string;
      const act = { change: edited.change, actor, requestId, organisation, keyId: "", tenant, comment };
      await appendToOutbox(client, createKeyRecord({ ...act, before: entry?.grant, after }, minted, regions, at));
      return regions.map((region) => ({ region, version: minted.version }));
    },
    signal === undefined ? {} : { signal },
  );
  await afterCommit(parts);
  return keyrings;
}
