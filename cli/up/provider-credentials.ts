import { createHmac, randomUUID } from "node:crypto";
import { readFileSync, rmSync } from "node:fs";
import { CredentialService } from "../../gen/weir/policy/v1/credential_service_pb.ts";
import { parseRecipients } from "../../services/shared/credential/region-key.ts";
import type { Endpoint } from "../addresses.ts";
import { CALL_OPTIONS, withClient } from "../control-plane.ts";
import { listCredentials, setCredential } from "../credentials.ts";
import type { TrustRoot } from "../keygen.ts";
import { DEMO_TENANT } from "./example-tenant.ts";
import { type Layout, REGIONS } from "./layout.ts";
import type { ModelProvider } from "./model-providers.ts";
import { writeSecretFile } from "./secret-file.ts";

/** What is needed to set the credentials of the example policy's providers. */
export interface ProviderCredentialsOptions {
  readonly policy: Endpoint;
  readonly trust: TrustRoot;
  readonly layout: Pick<Layout, "credentials">;
  /** Real providers, whose credentials are set besides that of the scripted one. */
  readonly modelProviders: readonly ModelProvider[];
}

interface Wanted {
  readonly name: string;
  readonly secret: string;
  readonly origins: readonly string[];
}

/**
 * Sets the credentials that the example policy's providers want, in every region, as far as they are not set already, and deletes those
 * that were set so before and are wanted no longer. Those that a user has set are left alone.
 */
export async function setProviderCredentials(options: ProviderCredentialsOptions): Promise<void> {
  const { policy, trust, layout, modelProviders } = options;
  const { organisation } = DEMO_TENANT;
  // A folder of clear credentials that an earlier version left there.
  rmSync(layout.credentials.replace(/\.json$/, ""), { recursive: true, force: true });
  const ours = readOurs(layout);
  const recipients = parseRecipients(readFileSync(trust.recipients, "utf8"));
  await withClient(policy, CredentialService, async (client) => {
    const present = await listCredentials(client, organisation);
    const next: Record<string, string> = {};
    for (const { name, secret, origins } of listWanted(modelProviders)) {
      const known = present.find((one) => one.name === name);
      const digest = fingerprint(trust, `${name} ${origins.join(" ")} ${secret}`);
      next[name] = digest;
      if (ours[name] === digest && REGIONS.every((region) => known?.regions.some((one) => one.region === region)))
        continue;
      // Somebody else's.
      if (known !== undefined && known.regions.length > 0 && ours[name] === undefined) continue;
      const regions = REGIONS.map((region) => ({ recipient: recipients.get(region)!, origins }));
      const comment = "Set by weir up";
      await setCredential(client, { organisation, name, secret: Buffer.from(secret), regions, comment });
    }
    for (const name of Object.keys(ours).filter((one) => !(one in next))) {
      if (!present.some((one) => one.name === name)) continue;
      await client.deleteCredential({ requestId: randomUUID(), organisation, name }, CALL_OPTIONS);
    }
    writeSecretFile(layout.credentials, `${JSON.stringify(next, null, 2)}\n`);
  });
}

function listWanted(modelProviders: readonly ModelProvider[]): Wanted[] {
  return [
    { name: "scripted", secret: "scripted-provider-wants-no-secret", origins: [] },
    ...modelProviders.flatMap(({ credential, baseUrl }) =>
      credential ? [{ ...credential, origins: [new URL(baseUrl).origin] }] : [],
    ),
  ];
}

/** Tells a secret from another without keeping it: keyed, so that a weak one can't be guessed by who sees this file alone. */
function fingerprint(trust: TrustRoot, text: string): string {
  return createHmac("sha256", readFileSync(trust.regionKey(REGIONS[0])))
    .update(text)
    .digest("hex");
}

function readOurs(layout: Pick<Layout, "credentials">): Readonly<Record<string, string>> {
  try {
    return JSON.parse(readFileSync(layout.credentials, "utf8")) as Record<string, string>;
  } catch {
    return {}; // the first start
  }
}
