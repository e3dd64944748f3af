import "./reflect-metadata.ts";
import type { webcrypto } from "node:crypto";
import { isIP } from "node:net";
import * as x509 from "@peculiar/x509";
import { formatSpiffe, type SpiffeName } from "../../services/shared/authority/spiffe.ts";

/** A certificate and its private key, as PEM. */
export interface CertificatePem {
  readonly certificate: string;
  /** A secret (PKCS #8). */
  readonly key: string;
}

/** What a service's certificate says. */
export interface ServiceCertificate {
  readonly name: SpiffeName;
  /** Names and IP addresses by which others reach the service. May be empty for a service that nobody calls. */
  readonly hosts: readonly string[];
  /** How long it is good from when it is made. */
  readonly ttlMs: number;
}

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256" } as const;
const SIGNATURE = { name: "ECDSA", hash: "SHA-256" } as const;
/** Clocks may differ: a certificate is good from a minute before it was made. */
export const BACKDATE_MS = 60_000;

/** Makes an authority of a mesh: it signs certificates of services, and none that sign others. */
export async function makeAuthority(subject: string, ttlMs: number, nowMs: number): Promise<CertificatePem> {
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: subject,
    keys,
    signingAlgorithm: SIGNATURE,
    notBefore: new Date(nowMs - BACKDATE_MS),
    notAfter: new Date(nowMs + ttlMs),
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificate: `${certificate.toString("pem")}\n`, key: await toPem(keys.privateKey) };
}

/** Makes a certificate of a service with a key of its own, for serving and for calling. */
export async function makeServiceCertificate(
  authority: CertificatePem,
  { name, hosts, ttlMs }: ServiceCertificate,
  nowMs: number,
): Promise<CertificatePem> {
  const issuer = new x509.X509Certificate(authority.certificate);
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const certificate = await x509.X509CertificateGenerator.create({
    subject: `CN=${name.service.service} ${name.service.instance}`,
    issuer: issuer.subject,
    publicKey: keys.publicKey,
    signingKey: await readKey(authority.key),
    signingAlgorithm: SIGNATURE,
    notBefore: new Date(nowMs - BACKDATE_MS),
    notAfter: new Date(Math.min(nowMs + ttlMs, issuer.notAfter.getTime())),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
      new x509.SubjectAlternativeNameExtension([
        { type: "url", value: formatSpiffe(name) },
        ...hosts.map((value) => ({ type: isIP(value) === 0 ? ("dns" as const) : ("ip" as const), value })),
      ]),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
    ],
  });
  return { certificate: `${certificate.toString("pem")}\n`, key: await toPem(keys.privateKey) };
}

async function toPem(key: webcrypto.CryptoKey): Promise<string> {
  return `${x509.PemConverter.encode(await crypto.subtle.exportKey("pkcs8", key), "PRIVATE KEY")}\n`;
}

async function readKey(pem: string): Promise<webcrypto.CryptoKey> {
  const [bytes] = x509.PemConverter.decode(pem);
  if (bytes === undefined) throw new Error("Cannot sign certificate: the authority's key is not a PEM file");
  return await crypto.subtle.importKey("pkcs8", bytes, ALGORITHM, false, ["sign"]);
}
