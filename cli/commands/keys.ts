import { randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { type Command, Option } from "commander";
import {
  CreateKeyResponseSchema,
  GetKeyResponseSchema,
  type Key,
  KeyService,
  KeyState,
  ListKeysResponseSchema,
} from "../../gen/weir/policy/v1/key_service_pb.ts";
import { CALL_OPTIONS, readPages, withClient } from "../control-plane.ts";
import { collectLabel, parseCount } from "../key-options.ts";
import { formatTable, formatTime, printMessage } from "../output.ts";
import { type Context, getContext } from "./context.ts";
import { addKeyChangeCommands } from "./keys/change-keys.ts";
import { describeKey, describeState, formatLimit } from "./keys/describe-key.ts";
import { addScopeOptions, type ScopeOptions, toSettings } from "./keys/scope-options.ts";

interface CreateOptions extends ScopeOptions {
  readonly organisation: string;
  readonly team: string;
  readonly app: string;
  readonly environment: string;
}

interface ListOptions {
  readonly organisation: string;
  readonly team: string;
  readonly app: string;
  readonly environment: string;
  readonly state?: keyof typeof STATES;
  readonly label?: Readonly<Record<string, string>>;
  readonly limit?: number;
}

const STATES = {
  active: KeyState.ACTIVE,
  disabled: KeyState.DISABLED,
  expired: KeyState.EXPIRED,
  revoked: KeyState.REVOKED,
} as const;

/** Adds `weir keys …`: what an operator does with virtual keys. */
export function addKeyCommands(program: Command): void {
  const keys = program.command("keys").description("make, list, change, rotate and revoke virtual keys");

  addScopeOptions(
    keys
      .command("create")
      .description("make a key; its secret is printed once and kept nowhere")
      .requiredOption("--organisation <id>", "who pays")
      .requiredOption("--team <id>", "team of the organisation")
      .requiredOption("--app <id>", "app of the team")
      .requiredOption("--environment <id>", "environment of the app"),
  ).action((options: CreateOptions, command: Command) => createKey(options, getContext(command)));

  keys
    .command("list")
    .description("list keys, newest first, without secrets")
    .requiredOption("--organisation <id>", "whose keys")
    .option("--team <id>", "only those of a team", "")
    .option("--app <id>", "only those of an app", "")
    .option("--environment <id>", "only those of an environment", "")
    .addOption(new Option("--state <state>", "only those in a state").choices(Object.keys(STATES)))
    .option("--label <name=value>", "only those with a label; again for several", collectLabel)
    .option("--limit <n>", "at most so many", parseCount)
    .action((options: ListOptions, command: Command) => listKeys(options, getContext(command)));

  keys
    .command("get")
    .description("show a key, without its secret")
    .argument("<key-id>", "id of the key: the part of 12 characters")
    .requiredOption("--organisation <id>", "whose key")
    .action((keyId: string, options: { organisation: string }, command: Command) =>
      getKey(keyId, options.organisation, getContext(command)),
    );

  addKeyChangeCommands(keys);
}

async function createKey(options: CreateOptions, { addresses, output }: Context): Promise<void> {
  const { organisation, team, app, environment } = options;
  const asked = {
    requestId: randomUUID(),
    organisation,
    team,
    app,
    environment,
    models: ["*"],
    ...toSettings(options),
  };
  const response = await withClient(addresses.policy, KeyService, (client) => client.createKey(asked, CALL_OPTIONS));
  printMessage(output, CreateKeyResponseSchema, response, () =>
    [`Made key ${response.key?.keyId}. Its secret is shown only now:`, "", `  ${response.secret}`].join("\n"),
  );
}

async function listKeys(options: ListOptions, { addresses, output }: Context): Promise<void> {
  const { organisation, team, app, environment, state, label = {}, limit } = options;
  const asked = { organisation, team, app, environment, labels: { ...label }, ...(state && { state: STATES[state] }) };
  const keys = await withClient(addresses.policy, KeyService, (client) =>
    readPages(async (pageToken) => {
      const page = await client.listKeys({ ...asked, pageToken, pageSize: 200 }, CALL_OPTIONS);
      return { items: page.keys, nextPageToken: page.nextPageToken };
    }, limit),
  );
  printMessage(output, ListKeysResponseSchema, create(ListKeysResponseSchema, { keys }), () =>
    formatTable(
      ["key", "name", "team", "app", "environment", "models", "per minute", "created", "state"],
      keys.map((key) => [
        key.keyId,
        key.displayName,
        key.team,
        key.app,
        key.environment,
        key.models.join(", "),
        formatLimit(key),
        formatTime(key.createdAt),
        describeState(key),
      ]),
    ),
  );
}

async function getKey(keyId: string, organisation: string, { addresses, output }: Context): Promise<void> {
  const response = await withClient(addresses.policy, KeyService, (client) =>
    client.getKey({ organisation, keyId }, CALL_OPTIONS),
  );
  printMessage(output, GetKeyResponseSchema, response, () => describeKey(response.key as Key));
}
