import type { ServiceImpl } from "@connectrpc/connect";
import type { TenantService } from "../../gen/weir/policy/v1/tenant_service_pb.ts";
import { createPageToken, readPageSize, readPageToken } from "../shared/page.ts";
import { toActing } from "./acting.ts";
import { disableTenant, enableTenant } from "./change-tenant.ts";
import { decodeDisabledTenant } from "./keys/grant.ts";
import type { ChangeParts } from "./publish.ts";
import { listTenantEntries } from "./store/keyrings.ts";

const PAGE = { default: 50, max: 200 };

/** Serves weir.policy.v1.TenantService. */
export function createTenantService(parts: ChangeParts): ServiceImpl<typeof TenantService> {
  return {
    async disableTenant(request, context) {
      return { keyrings: [...(await disableTenant(parts, request, toActing(context)))] };
    },
    async enableTenant(request, context) {
      return { keyrings: [...(await enableTenant(parts, request, toActing(context)))] };
    },
    async listDisabledTenants({ organisation, pageSize, pageToken }) {
      const limit = readPageSize(pageSize, PAGE);
      const list = ["disabled tenants", organisation];
      const [after = ""] = readPageToken(list, pageToken, 1) ?? [];
      // One more than the page has, to know whether there is another.
      const found = await listTenantEntries(parts.pool, organisation, { after, limit: limit + 1 });
      const page = found.slice(0, limit);
      const last = found.length > limit ? page.at(-1) : undefined;
      return {
        tenants: page.map(({ grant }) => {
          const { tenant, disabledAt } = decodeDisabledTenant(grant as Uint8Array);
          return { tenant, ...(disabledAt && { disabledAt }) };
        }),
        nextPageToken: last === undefined ? "" : createPageToken(list, [last.id]),
      };
    },
  };
}
