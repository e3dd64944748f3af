import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { create } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import type { Command } from "commander";
import {
  type Credential,
  CredentialSchema,
  CredentialService,
  ListCredentialsResponseSchema,
} from "../../gen/weir/policy/v1/credential_service_pb.ts";
import { PolicyService } from "../../gen/weir/policy/v1/policy_service_pb.ts";
import { parseRecipients, type Recipient } from "../../services/shared/credential/region-key.ts";
import { CALL_OPTIONS, withClient } from "../control-plane.ts";
import { findCredential, listCredentials, setCredential, waitUsed } from "../credentials.ts";
import { formatTable, formatTime, printMessage } from "../output.ts";
import { readSecret } from "../read-secret.ts";
import { type Context, getContext } from "./context.ts";

interface SetOptions {
  readonly organisation?: string;
  readonly region?: readonly string[];
  readonly origin: readonly string[];
  readonly file?: string;
  readonly recipients?: string;
  readonly comment: string;
  readonly wait: boolean;
}

type Credentials = Client<typeof CredentialService>;

/** How long routers are waited for. */
const WAIT_MS = 30_000;

/** Adds `weir credentials …`: what an operator does with the credentials of providers. */
export function addCredentialCommands(program: Command): void {
  const credentials = program
    .command("credentials")
    .description("set, rotate, list and delete the credentials of providers, sealed for the routers of their regions");

  withSecret(credentials.command("set"))
    .description(
      "seal a credential on this machine and set it, or its next version; its secret is read from --file, a pipe, or the keyboard",
    )
    .argument("<name>", "name, as providers in the policy refer to it")
    .option("--region <id...>", "regions that get it; by default all that have a key in the recipients")
    .option(
      "--origin <url...>",
      "where it may be sent, such as https://api.openai.com; by default wherever the policy's providers are",
      [],
    )
    .option("--no-wait", "do not wait until the connected routers use it")
    .action((name: string, options: SetOptions, command: Command) => set(name, options, getContext(command)));

  withSecret(credentials.command("rotate"))
    .description(
      "set the next version of a credential where it is now, and wait until the connected routers use it: then the old one can be revoked",
    )
    .argument("<name>", "name of the credential")
    .action((name: string, options: SetOptions, command: Command) => rotate(name, options, getContext(command)));

  credentials
    .command("list")
    .description("list credentials by name, with the routers that use them, without secrets")
    .option("--organisation <id>", "who operates the mesh; by default as the policy says")
    .action((options: { organisation?: string }, command: Command) => list(options.organisation, getContext(command)));

  credentials
    .command("delete")
    .description("take a credential away; providers that need it can't be used from then on")
    .argument("<name>", "name of the credential")
    .option("--organisation <id>", "who operates the mesh; by default as the policy says")
    .option("--region <id...>", "regions to take it from; by default all that have it", [])
    .option("--comment <text>", "why, for the record", "")
    .action(
      (
        name: string,
        options: { organisation?: string; region: readonly string[]; comment: string },
        command: Command,
      ) => remove(name, options, getContext(command)),
    );
}

function withSecret(command: Command): Command {
  return command
    .option("--organisation <id>", "who operates the mesh; by default as the policy says")
    .option("--file <path>", "file with the secret; - is what is piped in")
    .option(
      "--recipients <file>",
      "public keys of the regions, as weir keygen wrote them; by default those of the mesh",
    )
    .option("--comment <text>", "why, for the record", "");
}

async function set(name: string, options: SetOptions, context: Context): Promise<void> {
  const recipients = readRecipients(options.recipients ?? context.addresses.recipients);
  const regions = (options.region ?? [...recipients.keys()]).map((region) => getRecipient(recipients, region));
  const origins = options.origin.map(toOrigin);
  const secret = await readSecret(options.file, `Secret of "${name}": `);
  await withCredentials(context, async (client) => {
    const organisation = options.organisation ?? (await getOrganisation(context));
    const set = await setCredential(client, {
      organisation,
      name,
      secret,
      regions: regions.map((recipient) => ({ recipient, origins })),
      comment: options.comment,
    });
    await tell(client, set, options.wait, context);
  });
}

async function rotate(name: string, options: SetOptions, context: Context): Promise<void> {
  const recipients = readRecipients(options.recipients ?? context.addresses.recipients);
  await withCredentials(context, async (client) => {
    const organisation = options.organisation ?? (await getOrganisation(context));
    const now = await findCredential(client, organisation, name);
    if (now === undefined || now.regions.length === 0) {
      throw new Error(`Cannot rotate credential: organisation "${organisation}" has no "${name}"`);
    }
    const regions = now.regions.map(({ region, origins }) => ({
      recipient: getRecipient(recipients, region),
      origins,
    }));
    const secret = await readSecret(options.file, `New secret of "${name}": `);
    const { comment } = options;
    await tell(client, await setCredential(client, { organisation, name, secret, regions, comment }), true, context);
  });
}

async function tell(client: Credentials, set: Credential, waits: boolean, { output }: Context): Promise<void> {
  const { credential, isUsed } = waits ? await waitUsed(client, set, WAIT_MS) : { credential: set, isUsed: true };
  printMessage(output, CredentialSchema, credential, () => {
    const routers = credential.regions.reduce((sum, region) => sum + region.using, 0);
    const used = `${routers === 1 ? "1 router uses" : `${routers} routers use`} it: an older one can be revoked at its provider`;
    return [
      `Set credential ${credential.name}, version ${credential.version}, for ${listRegions(credential)}`,
      ...(waits ? [isUsed ? used : `Not all routers use it after ${WAIT_MS / 1000} s`] : []),
      ...credential.regions.flatMap(({ region, laggards }) =>
        waits
          ? laggards.map(({ instance, refusal }) => `  ${region} ${instance}: ${refusal || "has not said anything"}`)
          : [],
      ),
    ].join("\n");
  });
  if (!isUsed) process.exitCode = 1;
}

async function list(organisation: string | undefined, context: Context): Promise<void> {
  const credentials = await withCredentials(context, async (client) =>
    listCredentials(client, organisation ?? (await getOrganisation(context))),
  );
  const message = create(ListCredentialsResponseSchema, { credentials });
  printMessage(context.output, ListCredentialsResponseSchema, message, () =>
    formatTable(
      ["credential", "region", "version", "origins", "set", "used by", "state"],
      credentials.flatMap(({ name, regions }) =>
        regions.map(({ region, version, origins, setAt, routers, using, laggards }) => [
          name,
          region,
          String(version),
          origins.join(", ") || "any",
          formatTime(setAt),
          `${using} of ${routers}`,
          laggards.map(({ instance, refusal }) => `${instance}: ${refusal || "not yet"}`).join("; ") || "good",
        ]),
      ),
    ),
  );
}

async function remove(
  name: string,
  options: { organisation?: string; region: readonly string[]; comment: string },
  context: Context,
): Promise<void> {
  const { region, comment } = options;
  const { credential } = await withCredentials(context, async (client) => {
    const organisation = options.organisation ?? (await getOrganisation(context));
    return client.deleteCredential(
      { requestId: randomUUID(), organisation, name, regions: [...region], comment },
      CALL_OPTIONS,
    );
  });
  printMessage(context.output, CredentialSchema, credential as Credential, () =>
    credential?.regions.length
      ? `Deleted credential ${name}; it is still in ${listRegions(credential)}`
      : `Deleted credential ${name}`,
  );
}

function withCredentials<Result>(
  { addresses }: Context,
  use: (client: Credentials) => Promise<Result>,
): Promise<Result> {
  return withClient(addresses.policy, CredentialService, use);
}

async function getOrganisation({ addresses }: Context): Promise<string> {
  const { policy } = await withClient(addresses.policy, PolicyService, (client) => client.getPolicy({}, CALL_OPTIONS));
  return policy?.organisation ?? "";
}

function readRecipients(path: string): ReadonlyMap<string, Recipient> {
  return parseRecipients(readFileSync(path, "utf8"));
}

function getRecipient(recipients: ReadonlyMap<string, Recipient>, region: string): Recipient {
  const recipient = recipients.get(region);
  if (recipient === undefined) {
    throw new Error(`Cannot seal credential: the recipients have no key of region "${region}"; weir keygen makes one`);
  }
  return recipient;
}

function toOrigin(text: string): string {
  const url = URL.parse(text);
  if (
    url === null ||
    url.origin === "null" ||
    !["", "/"].includes(url.pathname) ||
    url.search !== "" ||
    url.username !== ""
  ) {
    throw new Error(`Cannot seal credential: the origin "${text}" is not like https://api.example.com`);
  }
  return url.origin;
}

function listRegions({ regions }: Credential): string {
  return regions.map(({ region }) => region).join(", ");
}
