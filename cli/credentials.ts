import { randomUUID } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import { type Client, ConnectError } from "@connectrpc/connect";
import type { Credential, CredentialService, SealedCredential } from "../gen/weir/policy/v1/credential_service_pb.ts";
import { sealCredential } from "../services/shared/credential/envelope.ts";
import type { Recipient } from "../services/shared/credential/region-key.ts";
import { createRegionKeyWrapper } from "../services/shared/credential/region-key-wrapper.ts";
import { fromConnectError } from "../services/shared/errors/wire.ts";
import { CALL_OPTIONS, readPages } from "./control-plane.ts";

/** Which credential is set, for whom. */
export interface CredentialToSet {
  readonly organisation: string;
  readonly name: string;
  /** Zeroed once it is sealed. */
  readonly secret: Uint8Array;
  /** For which regions, each with where it may be sent; no origins mean wherever the policy's providers are. */
  readonly regions: readonly { readonly recipient: Recipient; readonly origins: readonly string[] }[];
  readonly comment?: string;
}

type Credentials = Client<typeof CredentialService>;

/** Another operator may set the same one at the same time; after so many rounds something else is wrong. */
const ROUNDS = 5;

/**
 * Seals a credential on this machine for its regions, and sets it as the next version. The secret leaves neither this process nor its
 * memory but sealed. Returns what is known of it then.
 */
export async function setCredential(client: Credentials, options: CredentialToSet): Promise<Credential> {
  const { organisation, name, secret, regions, comment = "" } = options;
  const signal = AbortSignal.timeout(CALL_OPTIONS.timeoutMs);
  try {
    let version = 1n;
    for (let round = 1; ; round++) {
      const sealed: SealedCredential[] = [];
      for (const { recipient, origins } of regions) {
        const subject = { organisation, name, region: recipient.region, version, origins: [...origins] };
        sealed.push(await sealCredential(secret, subject, createRegionKeyWrapper(recipient), signal));
      }
      try {
        const request = { requestId: randomUUID(), organisation, name, sealed, comment };
        return (await client.setCredential(request, CALL_OPTIONS)).credential as Credential;
      } catch (error) {
        const latest = findLatestVersion(error);
        if (latest === undefined || round === ROUNDS) throw error;
        version = latest + 1n;
      }
    }
  } finally {
    secret.fill(0);
  }
}

/** A credential as it is known; undefined when there never was one of that name. */
export async function findCredential(
  client: Credentials,
  organisation: string,
  name: string,
): Promise<Credential | undefined> {
  return (await client.listCredentials({ organisation, name }, CALL_OPTIONS)).credentials[0];
}

/** All credentials of an organisation. */
export async function listCredentials(client: Credentials, organisation: string): Promise<Credential[]> {
  return await readPages(async (pageToken) => {
    const page = await client.listCredentials({ organisation, pageToken, pageSize: 200 }, CALL_OPTIONS);
    return { items: page.credentials, nextPageToken: page.nextPageToken };
  });
}

const POLL_MS = 250;

/**
 * Waits until every connected router of its regions uses what the credential is now, so that the old one may be revoked at its provider.
 * Returns the credential as it is then, or as it is when the time is over; `isUsed` says which.
 */
export async function waitUsed(
  client: Credentials,
  { organisation, name }: Pick<Credential, "organisation" | "name">,
  timeoutMs: number,
): Promise<{ readonly credential: Credential; readonly isUsed: boolean }> {
  const deadline = AbortSignal.timeout(timeoutMs);
  for (;;) {
    const credential = (await findCredential(client, organisation, name)) as Credential;
    const isUsed = credential.regions.every(({ routers, using }) => routers === using);
    if (isUsed || deadline.aborted) return { credential, isUsed };
    await setTimeout(POLL_MS);
  }
}

function findLatestVersion(error: unknown): bigint | undefined {
  if (!(error instanceof ConnectError)) return undefined;
  const { reason, facts } = fromConnectError(error);
  return reason === "VERSION_CONFLICT" && facts.latest_version !== undefined ? BigInt(facts.latest_version) : undefined;
}
