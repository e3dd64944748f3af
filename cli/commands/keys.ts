import { randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { type Command, InvalidArgumentError } from "commander";
import {
  CreateKeyResponseSchema,
  type Key,
  KeyService,
  ListKeysResponseSchema,
  RevokeKeyResponseSchema,
} from "../../gen/weir/policy/v1/key_service_pb.ts";
import { CALL_OPTIONS, readPages, withClient } from "../control-plane.ts";
import { formatTable, formatTime, printMessage } from "../output.ts";
import { type Context, getContext } from "./context.ts";

interface CreateOptions {
  readonly organisation: string;
  readonly team: string;
  readonly app: string;
  readonly environment: string;
  readonly model: readonly string[];
  readonly requestsPerMinute: number;
  readonly expires?: Date;
  readonly name: string;
}

/** Adds `weir keys …`: what an operator does with virtual keys. */
export function addKeyCommands(program: Command): void {
  const keys = program.command("keys").description("make, list and revoke virtual keys");

  keys
    .command("create")
    .description("make a key; its secret is printed once and kept nowhere")
    .requiredOption("--organisation <id>", "who pays")
    .requiredOption("--team <id>", "team of the organisation")
    .requiredOption("--app <id>", "app of the team")
    .requiredOption("--environment <id>", "environment of the app")
    .option("--model <id...>", 'models that it may ask for; "*" means all', ["*"])
    .option("--requests-per-minute <n>", "limit of its own; 0 means none", parseCount, 0)
    .option("--expires <time>", "when it stops being good, such as 2027-01-31 or 2027-01-31T12:00:00Z", parseTime)
    .option("--name <text>", "name for people", "")
    .action((options: CreateOptions, command: Command) => createKey(options, getContext(command)));

  keys
    .command("list")
    .description("list keys, newest first, without secrets")
    .requiredOption("--organisation <id>", "whose keys")
    .action((options: { organisation: string }, command: Command) =>
      listKeys(options.organisation, getContext(command)),
    );

  keys
    .command("revoke")
    .description("revoke a key, for ever")
    .argument("<key-id>", "id of the key: the part of 12 characters, not its secret")
    .requiredOption("--organisation <id>", "whose key")
    .option("--comment <text>", "why, for the record", "")
    .action((keyId: string, options: { organisation: string; comment: string }, command: Command) =>
      revokeKey(keyId, options, getContext(command)),
    );
}

async function createKey(options: CreateOptions, { addresses, output }: Context): Promise<void> {
  const response = await withClient(addresses.policy, KeyService, (client) =>
    client.createKey(
      {
        requestId: randomUUID(),
        displayName: options.name,
        organisation: options.organisation,
        team: options.team,
        app: options.app,
        environment: options.environment,
        models: [...options.model],
        requestsPerMinute: options.requestsPerMinute,
        ...(options.expires ? { expiresAt: timestampFromDate(options.expires) } : {}),
      },
      CALL_OPTIONS,
    ),
  );
  printMessage(output, CreateKeyResponseSchema, response, () =>
    [`Made key ${response.key?.keyId}. Its secret is shown only now:`, "", `  ${response.secret}`].join("\n"),
  );
}

async function listKeys(organisation: string, { addresses, output }: Context): Promise<void> {
  const keys = await withClient(addresses.policy, KeyService, (client) =>
    readPages(async (pageToken) => {
      const page = await client.listKeys({ organisation, pageToken, pageSize: 200 }, CALL_OPTIONS);
      return { items: page.keys, nextPageToken: page.nextPageToken };
    }),
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
        key.requestsPerMinute ? String(key.requestsPerMinute) : "no limit",
        formatTime(key.createdAt),
        describeState(key),
      ]),
    ),
  );
}

async function revokeKey(
  keyId: string,
  { organisation, comment }: { organisation: string; comment: string },
  { addresses, output }: Context,
): Promise<void> {
  const response = await withClient(addresses.policy, KeyService, (client) =>
    client.revokeKey({ requestId: randomUUID(), organisation, keyId, comment }, CALL_OPTIONS),
  );
  printMessage(output, RevokeKeyResponseSchema, response, () =>
    [
      `Revoked key ${keyId}. A router refuses it from these keyring versions on (weir policy status):`,
      ...response.keyrings.map(({ region, version }) => `  ${region}: ${version}`),
    ].join("\n"),
  );
}

function describeState(key: Key): string {
  if (key.revokedAt) {
    return `revoked ${formatTime(key.revokedAt)}`;
  }
  if (key.expiresAt) {
    const expired = Number(key.expiresAt.seconds) * 1000 <= Date.now();
    return `${expired ? "expired" : "good until"} ${formatTime(key.expiresAt)}`;
  }
  return "good";
}

function parseCount(text: string): number {
  if (!/^\d{1,9}$/.test(text)) {
    throw new InvalidArgumentError("should be a whole number from 0");
  }
  return Number(text);
}

function parseTime(text: string): Date {
  const time = new Date(text);
  if (Number.isNaN(time.getTime())) {
    throw new InvalidArgumentError("should be a time such as 2027-01-31T12:00:00Z");
  }
  return time;
}
