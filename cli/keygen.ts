import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { generateRegionKey, toRecipients } from "../services/shared/credential/region-key.ts";
import { generateNoteKey, parseSignerKey } from "../services/shared/note/note.ts";
import { writeSecretFile } from "./up/secret-file.ts";

/** Files of a mesh's trust root. The `.key` files are secrets (mode 0600); the trust files hold public keys only. */
export interface TrustRoot {
  /** Signer key of policy: heads of snapshots and keyrings. */
  readonly policyKey: string;
  /** Signer key of the audit log of a region, or of "control": its checkpoints. */
  auditKey(region: string): string;
  /** Private keys of a region, one a line: open the credentials of providers. For the routers of that region alone. */
  regionKey(region: string): string;
  /** Public keys of the regions, one a line: whoever sets credentials seals with them. */
  readonly recipients: string;
  /** Verifier keys of policy, one a line: all that a router trusts, so that no audit log can sign a snapshot. */
  readonly routerTrust: string;
  /** Verifier keys of policy and of every audit log, one a line: what a verifier of exported records is given. */
  readonly trust: string;
  /** Names of the keys that were made by this call; those that were there are kept. */
  readonly made: readonly string[];
}

/** Options of {@link generateTrustRoot}. */
export interface TrustRootOptions {
  /** Folder of the keys; made (mode 0700) when missing. */
  readonly directory: string;
  /** Ids of the regions, each with an audit log of its own. */
  readonly regions: readonly string[];
  /** Regions whose key is rotated: they get another key beside those that are there. Default none. */
  readonly renewedRegions?: readonly string[];
  /** First part of the key names. Default "weir.local". An audit log's key has the name of the log's origin. */
  readonly domain?: string;
}

/** The origin line of an audit log, which is also the name of its key. */
export function createAuditOrigin(region: string, domain = "weir.local"): string {
  return `${domain}/audit/${region}`;
}

/**
 * Makes the signing keys and the region keys of a mesh, where missing, and writes the trust files. Run it before any service starts: no service makes or
 * hands out its own trust. Safe to repeat: a key that is there is kept, and so are further verifier keys in the trust files (old
 * ones during a rotation).
 */
export function generateTrustRoot(options: TrustRootOptions): TrustRoot {
  const { directory, regions, renewedRegions = [], domain = "weir.local" } = options;
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const made: string[] = [];
  const policyKey = join(directory, "policy.key");
  const auditKey = (region: string) => join(directory, `audit-${region}.key`);
  const verifierKeyOf = (path: string, name: string): string => {
    if (!existsSync(path)) {
      writeSecretFile(path, `${generateNoteKey(name).signerKey}\n`);
      made.push(name);
    }
    return parseSignerKey(readFileSync(path, "utf8").trim()).verifierKey;
  };

  const policy = verifierKeyOf(policyKey, `${domain}/policy`);
  const audits = ["control", ...regions].map((region) =>
    verifierKeyOf(auditKey(region), createAuditOrigin(region, domain)),
  );
  const regionKey = (region: string) => join(directory, `region-${region}.key`);
  const recipientsOf = (region: string): string[] => {
    const path = regionKey(region);
    const present = existsSync(path) ? readFileSync(path, "utf8") : "";
    if (present !== "" && !renewedRegions.includes(region)) return toRecipients(present, region);
    // The old ones stay: what was sealed for them must go on opening until it was sealed anew.
    const keys = `${present}${generateRegionKey(region).privateKey}\n`;
    writeSecretFile(path, keys);
    made.push(`${domain}/region/${region}`);
    return toRecipients(keys, region);
  };
  const recipients = join(directory, "recipients.txt");
  const routerTrust = join(directory, "router-trust.txt");
  const trust = join(directory, "trust.txt");
  addTrust(routerTrust, "Verifier keys of policy: what routers trust.", [policy]);
  addTrust(trust, "Verifier keys of policy and of every audit log: what `weir audit verify` trusts.", [
    policy,
    ...audits,
  ]);
  addTrust(
    recipients,
    "Public keys of the regions: what `weir credentials set` seals with; of a region the last one.",
    regions.flatMap(recipientsOf),
  );
  return { policyKey, auditKey, regionKey, recipients, routerTrust, trust, made };
}

function addTrust(path: string, meaning: string, keys: readonly string[]): void {
  const present = existsSync(path) ? readFileSync(path, "utf8").split("\n") : [`# ${meaning}`];
  const missing = keys.filter((key) => !present.some((line) => line.trim() === key));
  if (missing.length === 0) {
    return;
  }
  const lines = [...present.filter((line) => line !== ""), ...missing];
  writeFileSync(`${path}.new`, `${lines.join("\n")}\n`, { mode: 0o644 });
  renameSync(`${path}.new`, path);
}
