import { X509Certificate } from "node:crypto";
import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { writeSecretFile } from "../up/secret-file.ts";
import { BACKDATE_MS, type CertificatePem, makeAuthority } from "./make-certificate.ts";

/** An authority of a mesh, on disk. */
export interface StoredAuthority {
  /** From 1; a later one takes the place of an earlier one. */
  readonly number: number;
  readonly certificate: X509Certificate;
  readonly pem: CertificatePem;
}

const AUTHORITY_TTL_MS = 5 * 365 * 86_400_000;

/** Path of the authorities that services trust: what WEIR_TLS_CLIENT_CA names. */
export function bundlePath(directory: string): string {
  return join(directory, "authorities.pem");
}

/** The authorities in a folder, oldest first. */
export function readAuthorities(directory: string): StoredAuthority[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .flatMap((name) => /^authority-(\d{1,6})\.pem$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b)
    .map((number) => {
      const pem = {
        certificate: readFileSync(join(directory, `authority-${number}.pem`), "utf8"),
        key: readFileSync(join(directory, `authority-${number}.key`), "utf8"),
      };
      return { number, pem, certificate: new X509Certificate(pem.certificate) };
    });
}

/** Makes the next authority and puts it among those that are trusted. It signs nothing before the overlap is over. */
export async function addAuthority(directory: string, domain: string, nowMs: number): Promise<StoredAuthority> {
  const number = (readAuthorities(directory).at(-1)?.number ?? 0) + 1;
  const pem = await makeAuthority(`CN=Weir authority ${number} of ${domain}`, AUTHORITY_TTL_MS, nowMs);
  writeSecretFile(join(directory, `authority-${number}.key`), pem.key);
  writeFile(join(directory, `authority-${number}.pem`), pem.certificate);
  writeBundle(directory);
  return { number, pem, certificate: new X509Certificate(pem.certificate) };
}

/**
 * The authority that signs now: the newest that services have had the time to learn of, else the oldest. A certificate of one that they do not
 * trust yet would be refused.
 */
export function chooseSigner(
  authorities: readonly StoredAuthority[],
  overlapMs: number,
  nowMs: number,
): StoredAuthority | undefined {
  const known = authorities.filter((authority) => madeAtMs(authority) + overlapMs <= nowMs);
  return known.at(-1) ?? authorities[0];
}

/** When an authority was made, milliseconds since the epoch. */
export function madeAtMs({ certificate }: StoredAuthority): number {
  return Date.parse(certificate.validFrom) + BACKDATE_MS;
}

/** Takes authorities out of those that are trusted. Their files stay beside, under another name. */
export function retireAuthorities(directory: string, retired: readonly StoredAuthority[]): void {
  for (const { number } of retired) {
    for (const kind of ["key", "pem"]) {
      renameSync(join(directory, `authority-${number}.${kind}`), join(directory, `retired-${number}.${kind}`));
    }
  }
  if (retired.length > 0) writeBundle(directory);
}

function writeBundle(directory: string): void {
  writeFile(
    bundlePath(directory),
    readAuthorities(directory)
      .map(({ pem }) => pem.certificate)
      .join(""),
  );
}

function writeFile(path: string, content: string): void {
  writeFileSync(`${path}.new`, content, { mode: 0o644 });
  renameSync(`${path}.new`, path);
}
