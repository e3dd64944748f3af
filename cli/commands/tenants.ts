import { randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import type { Command } from "commander";
import {
  DisableTenantResponseSchema,
  EnableTenantResponseSchema,
  ListDisabledTenantsResponseSchema,
  TenantService,
} from "../../gen/weir/policy/v1/tenant_service_pb.ts";
import { CALL_OPTIONS, readPages, withClient } from "../control-plane.ts";
import { formatTable, formatTime, printMessage } from "../output.ts";
import { type Context, getContext } from "./context.ts";

const PATH = '"organisation", "organisation/team" or "organisation/team/app"';

/** Adds `weir tenants …`: all keys of a tenant at once. */
export function addTenantCommands(program: Command): void {
  const tenants = program.command("tenants").description("disable and enable all keys of a tenant at once");

  tenants
    .command("disable")
    .description("make routers refuse all keys below a tenant until it is enabled again")
    .argument("<tenant>", PATH)
    .option("--comment <text>", "why, for the record", "")
    .action(async (tenant: string, { comment }: { comment: string }, command: Command) => {
      const { addresses, output } = getContext(command);
      const response = await withClient(addresses.policy, TenantService, (client) =>
        client.disableTenant({ requestId: randomUUID(), tenant, comment }, CALL_OPTIONS),
      );
      printMessage(output, DisableTenantResponseSchema, response, () =>
        describeChange(`Disabled tenant ${tenant}. A router refuses its keys`, response.keyrings),
      );
    });

  tenants
    .command("enable")
    .description("make the keys below a disabled tenant good again, as far as they are themselves")
    .argument("<tenant>", PATH)
    .option("--comment <text>", "why, for the record", "")
    .action(async (tenant: string, { comment }: { comment: string }, command: Command) => {
      const { addresses, output } = getContext(command);
      const response = await withClient(addresses.policy, TenantService, (client) =>
        client.enableTenant({ requestId: randomUUID(), tenant, comment }, CALL_OPTIONS),
      );
      printMessage(output, EnableTenantResponseSchema, response, () =>
        describeChange(`Enabled tenant ${tenant}. A router honours its keys`, response.keyrings),
      );
    });

  tenants
    .command("list")
    .description("list the disabled tenants of an organisation")
    .requiredOption("--organisation <id>", "whose tenants")
    .action((options: { organisation: string }, command: Command) =>
      listTenants(options.organisation, getContext(command)),
    );
}

async function listTenants(organisation: string, { addresses, output }: Context): Promise<void> {
  const tenants = await withClient(addresses.policy, TenantService, (client) =>
    readPages(async (pageToken) => {
      const page = await client.listDisabledTenants({ organisation, pageToken, pageSize: 200 }, CALL_OPTIONS);
      return { items: page.tenants, nextPageToken: page.nextPageToken };
    }),
  );
  const message = create(ListDisabledTenantsResponseSchema, { tenants });
  printMessage(output, ListDisabledTenantsResponseSchema, message, () =>
    formatTable(
      ["tenant", "disabled"],
      tenants.map(({ tenant, disabledAt }) => [tenant, formatTime(disabledAt)]),
    ),
  );
}

function describeChange(done: string, keyrings: readonly { readonly region: string; readonly version: bigint }[]) {
  return [
    `${done} from these keyring versions on (weir policy status):`,
    ...keyrings.map(({ region, version }) => `  ${region}: ${version}`),
  ].join("\n");
}
