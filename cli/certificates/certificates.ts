/** The life of a certificate: issued → renewed at half of its life, or when its authority gives way to the next → ended. */
import { X509Certificate } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { formatSpiffe, parseSpiffe, type SpiffeName } from "../../services/shared/authority/spiffe.ts";
import { writeSecretFile } from "../up/secret-file.ts";
import { addAuthority, chooseSigner, madeAtMs, readAuthorities, retireAuthorities } from "./authorities.ts";
import { BACKDATE_MS, makeServiceCertificate, type ServiceCertificate } from "./make-certificate.ts";

/** How certificates are made. */
export interface CertificateOptions {
  /** Folder of the authorities and of a folder for each certificate. */
  readonly directory: string;
  /** How long services have to learn of a new authority before it signs, and of its certificates before the old one is trusted no more. */
  readonly overlapMs: number;
  readonly nowMs: number;
}

/** How certificates are renewed. */
export interface RenewOptions extends CertificateOptions {
  /** How long new certificates are good. Default: as long as those were whose place they take. */
  readonly ttlMs?: number | undefined;
}

/** A certificate on disk. */
export interface StoredCertificate extends ServiceCertificate {
  /** Name of its folder, in which `tls.crt` and `tls.key` are. */
  readonly folder: string;
  readonly validFromMs: number;
  readonly validToMs: number;
  readonly certificate: X509Certificate;
}

/** What a renewal did. */
export interface Renewal {
  /** Folders of the certificates that are new. */
  readonly renewed: readonly string[];
  /** Folders of those that were good enough. */
  readonly kept: readonly string[];
  /** Numbers of the authorities that are trusted no more. */
  readonly retired: readonly number[];
}

/** Issues a certificate for a service, and the mesh's first authority where there is none. Takes the place of one of the same name. */
export async function issueCertificate(
  service: ServiceCertificate,
  options: CertificateOptions,
): Promise<StoredCertificate> {
  const { directory, overlapMs, nowMs } = options;
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const authorities = readAuthorities(directory);
  const signer =
    chooseSigner(authorities, overlapMs, nowMs) ?? (await addAuthority(directory, service.name.trustDomain, nowMs));
  const folder = nameFolder(service.name);
  checkOwner(readCertificate(directory, folder), service.name);
  const made = await makeServiceCertificate(signer.pem, service, nowMs);
  mkdirSync(join(directory, folder), { recursive: true, mode: 0o700 });
  // A service that reads between the two sees that they do not fit, and reads again.
  writeSecretFile(join(directory, folder, "tls.key"), made.key);
  writeFileSync(join(directory, folder, "tls.crt.new"), made.certificate, { mode: 0o644 });
  renameSync(join(directory, folder, "tls.crt.new"), join(directory, folder, "tls.crt"));
  return readCertificate(directory, folder) as StoredCertificate;
}

/**
 * Renews what is due: certificates past half of their life, and those of an authority that has given way to the next. Then lets go of
 * authorities that sign nothing any more, once services had the time to learn so. Safe to run at any time, and often.
 */
export async function renewCertificates(options: RenewOptions): Promise<Renewal> {
  const { directory, overlapMs, nowMs } = options;
  const authorities = readAuthorities(directory);
  const signer = chooseSigner(authorities, overlapMs, nowMs);
  const before = listCertificates(directory);
  const renewed: string[] = [];
  const kept: string[] = [];
  for (const stored of before) {
    const { folder, certificate, validFromMs, validToMs } = stored;
    const isSigned = signer !== undefined && certificate.verify(signer.certificate.publicKey);
    if (isSigned && nowMs < (validFromMs + validToMs) / 2) kept.push(folder);
    else {
      await issueCertificate({ ...stored, ttlMs: options.ttlMs ?? stored.ttlMs }, options);
      renewed.push(folder);
    }
  }
  const retired = authorities.filter(
    ({ number, certificate }) =>
      signer !== undefined &&
      number < signer.number &&
      madeAtMs(signer) + 2 * overlapMs <= nowMs &&
      !before.some((stored) => stored.certificate.verify(certificate.publicKey)),
  );
  retireAuthorities(directory, retired);
  return { renewed, kept, retired: retired.map(({ number }) => number) };
}

/** The certificates in a folder, by name. */
export function listCertificates(directory: string): StoredCertificate[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .sort()
    .flatMap((folder) => readCertificate(directory, folder) ?? []);
}

function readCertificate(directory: string, folder: string): StoredCertificate | undefined {
  const path = join(directory, folder, "tls.crt");
  if (!existsSync(path)) return undefined;
  const certificate = new X509Certificate(readFileSync(path));
  const names = (certificate.subjectAltName ?? "").split(", ");
  const of = (kind: string) => names.filter((each) => each.startsWith(kind)).map((each) => each.slice(kind.length));
  const name = parseSpiffe(of("URI:")[0] ?? "");
  if (name === undefined) throw new Error(`Cannot read certificate "${path}": it names no service of a mesh`);
  const validFromMs = Date.parse(certificate.validFrom);
  const validToMs = Date.parse(certificate.validTo);
  return {
    folder,
    name,
    hosts: [...of("DNS:"), ...of("IP Address:")],
    ttlMs: validToMs - validFromMs - BACKDATE_MS,
    validFromMs,
    validToMs,
    certificate,
  };
}

/** Two names may come to the same folder, such as those of "b" in the region "eu-router-a" and of "a-router-b" in "eu". */
function checkOwner(stored: StoredCertificate | undefined, { service }: SpiffeName): void {
  if (stored === undefined || isDeepStrictEqual(stored.name.service, service)) return;
  const owner = formatSpiffe(stored.name);
  throw new Error(`Cannot issue certificate: its folder "${stored.folder}" is that of ${owner}; use another --dir`);
}

/** "control-policy-policy-1", "eu-router-eu-1": a folder for each certificate. */
function nameFolder(name: SpiffeName): string {
  const { service, region, instance } = name.service;
  if (parseSpiffe(formatSpiffe(name)) === undefined) {
    throw new Error(`Cannot issue certificate: "${formatSpiffe(name)}" is no name of a service`);
  }
  return `${region}-${service}-${instance}`;
}
