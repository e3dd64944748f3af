import { randomUUID } from "node:crypto";
import { type Command, Option } from "commander";
import {
  DisableKeyResponseSchema,
  EnableKeyResponseSchema,
  type Key,
  type KeyringVersion,
  KeyService,
  RevokeKeyResponseSchema,
  RotateKeyResponseSchema,
  UpdateKeyResponseSchema,
} from "../../../gen/weir/policy/v1/key_service_pb.ts";
import { CALL_OPTIONS, withClient } from "../../control-plane.ts";
import { parseSpan } from "../../key-options.ts";
import { formatTime, printMessage } from "../../output.ts";
import { type Context, getContext } from "../context.ts";
import { describeKey } from "./describe-key.ts";
import { addScopeOptions, type ScopeOptions, toSettings } from "./scope-options.ts";

interface ChangeOptions {
  readonly organisation: string;
  readonly etag: string;
  readonly comment: string;
}

/** What `--clear` takes, with the name of the setting in the proto. */
const CLEARABLE = {
  name: "display_name",
  "requests-per-minute": "requests_per_minute",
  expires: "expires_at",
  labels: "labels",
  regions: "regions",
  tools: "tools",
  "strict-after": "strict_after",
} as const;

/** The settings by the names that options give them. */
const PATHS: Readonly<Record<string, string>> = {
  displayName: "display_name",
  models: "models",
  requestsPerMinute: "requests_per_minute",
  expiresAt: "expires_at",
  labels: "labels",
  regions: "regions",
  tools: "tools",
  strictAfter: "strict_after",
};

/** Adds to `weir keys` what changes a key that is there. */
export function addKeyChangeCommands(keys: Command): void {
  const update = addScopeOptions(addChange(keys, "update", "change what a key is good for; what is not named stays"));
  update
    .addOption(
      new Option("--clear <setting...>", "settings that are to be as if never said").choices(Object.keys(CLEARABLE)),
    )
    .action((keyId: string, options: UpdateOptions, command: Command) =>
      updateKey(keyId, options, getContext(command)),
    );

  addChange(keys, "rotate", "give a key a new secret, which is printed once; the one before stays good for a while")
    .option("--overlap <span>", "how long the secret before stays good; 0 ends it at once, without it 24h", parseSpan)
    .action((keyId: string, options: RotateOptions, command: Command) =>
      rotateKey(keyId, options, getContext(command)),
    );

  addChange(keys, "disable", "make routers refuse a key until it is enabled again").action(
    async (keyId: string, options: ChangeOptions, command: Command) => {
      const { addresses, output } = getContext(command);
      const response = await withClient(addresses.policy, KeyService, (client) =>
        client.disableKey(toRequest(keyId, options), CALL_OPTIONS),
      );
      printMessage(output, DisableKeyResponseSchema, response, () =>
        describeChange(`Disabled key ${keyId}. A router refuses it`, response.keyrings),
      );
    },
  );

  addChange(keys, "enable", "make a disabled key good again").action(
    async (keyId: string, options: ChangeOptions, command: Command) => {
      const { addresses, output } = getContext(command);
      const response = await withClient(addresses.policy, KeyService, (client) =>
        client.enableKey(toRequest(keyId, options), CALL_OPTIONS),
      );
      printMessage(output, EnableKeyResponseSchema, response, () =>
        describeChange(`Enabled key ${keyId}. A router honours it`, response.keyrings),
      );
    },
  );

  addChange(keys, "revoke", "revoke a key, for ever").action(
    async (keyId: string, options: ChangeOptions, command: Command) => {
      const { addresses, output } = getContext(command);
      const response = await withClient(addresses.policy, KeyService, (client) =>
        client.revokeKey(toRequest(keyId, options), CALL_OPTIONS),
      );
      printMessage(output, RevokeKeyResponseSchema, response, () =>
        describeChange(`Revoked key ${keyId}. A router refuses it`, response.keyrings),
      );
    },
  );
}

interface UpdateOptions extends ChangeOptions, ScopeOptions {
  readonly clear?: readonly (keyof typeof CLEARABLE)[];
}

interface RotateOptions extends ChangeOptions {
  readonly overlap?: ReturnType<typeof parseSpan>;
}

function addChange(keys: Command, name: string, description: string): Command {
  return keys
    .command(name)
    .description(description)
    .argument("<key-id>", "id of the key: the part of 12 characters, not its secret")
    .requiredOption("--organisation <id>", "whose key")
    .option("--etag <etag>", "change it only if it is still as `keys get` showed it", "")
    .option("--comment <text>", "why, for the record", "");
}

async function updateKey(keyId: string, options: UpdateOptions, { addresses, output }: Context): Promise<void> {
  const settings = toSettings(options);
  const paths = [...Object.keys(settings).map((name) => PATHS[name] as string), ...(options.clear ?? []).map(toPath)];
  if (paths.length === 0) throw new Error("Cannot update key: no setting is named (weir keys update --help)");
  const asked = { ...toRequest(keyId, options), settings, updateMask: { paths } };
  const response = await withClient(addresses.policy, KeyService, (client) => client.updateKey(asked, CALL_OPTIONS));
  printMessage(output, UpdateKeyResponseSchema, response, () =>
    [describeKey(response.key as Key), "", describeChange("A router acts on it", response.keyrings)].join("\n"),
  );
}

async function rotateKey(keyId: string, options: RotateOptions, { addresses, output }: Context): Promise<void> {
  const { overlap } = options;
  const asked = { ...toRequest(keyId, options), ...(overlap && { overlap }) };
  const response = await withClient(addresses.policy, KeyService, (client) => client.rotateKey(asked, CALL_OPTIONS));
  const until = formatTime(response.key?.oldSecretExpiresAt);
  printMessage(output, RotateKeyResponseSchema, response, () =>
    [
      `Rotated key ${keyId}. Its new secret is shown only now:`,
      "",
      `  ${response.secret}`,
      "",
      until === "" ? "The one before is good no longer." : `The one before is good until ${until}.`,
    ].join("\n"),
  );
}

function toRequest(keyId: string, { organisation, etag, comment }: ChangeOptions) {
  return { requestId: randomUUID(), organisation, keyId, etag, comment };
}

function toPath(name: keyof typeof CLEARABLE): string {
  return CLEARABLE[name];
}

function describeChange(done: string, keyrings: readonly KeyringVersion[]): string {
  return [
    `${done} from these keyring versions on (weir policy status):`,
    ...keyrings.map(({ region, version }) => `  ${region}: ${version}`),
  ].join("\n");
}
