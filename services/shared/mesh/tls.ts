import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { WeirError } from "../errors/weir-error.ts";
import type { Address, Declarations, Settings } from "../settings.ts";
import { findSpiffeName } from "./peer.ts";

/** Settings of TLS, for every service: all absent in development, on loopback. */
export const tlsSettings = {
  WEIR_TLS_CERTIFICATE: {
    kind: "path",
    optional: true,
    meaning: "PEM file with the certificate chain of this process, for serving and for calling within the mesh.",
  },
  WEIR_TLS_KEY: { kind: "path", optional: true, meaning: "PEM file with the private key of that certificate." },
  WEIR_TLS_CLIENT_CA: {
    kind: "path",
    optional: true,
    meaning:
      "PEM file with the authorities of the mesh: services know each other by certificates of theirs, and trust only such servers.",
  },
} as const satisfies Declarations;

/** Certificates as PEM, read from the files of the settings: those of now, where they are renewed. */
export interface Tls {
  readonly certificate: Buffer;
  readonly key: Buffer;
  /** Authorities of the mesh's certificates. */
  readonly authorities?: Buffer | undefined;
  /** Calls a listener with each set of certificates that takes the place of the one before. Absent when none will. */
  readonly onRenewal?: (listener: (renewed: Tls) => void) => void;
}

/** What a client needs of it: authorities alone will do where it shows a token instead of a certificate. */
export type ClientTls = Partial<Pick<Tls, "certificate" | "key">> & Pick<Tls, "authorities" | "onRenewal">;

/** Reads the files that the settings name; nothing when none is named. Half a set is refused. */
export function readTls(settings: Settings<typeof tlsSettings>): Tls | undefined {
  const { WEIR_TLS_CERTIFICATE: certificate, WEIR_TLS_KEY: key, WEIR_TLS_CLIENT_CA: authorities } = settings;
  if (certificate === undefined && key === undefined && authorities === undefined) return undefined;
  if (certificate === undefined || key === undefined) {
    throw new WeirError(
      "SETTING_INVALID",
      "Cannot use TLS: WEIR_TLS_CERTIFICATE and WEIR_TLS_KEY must be set together, and before WEIR_TLS_CLIENT_CA",
    );
  }
  return {
    certificate: readPem("WEIR_TLS_CERTIFICATE", certificate),
    key: readPem("WEIR_TLS_KEY", key),
    ...(authorities !== undefined && { authorities: readPem("WEIR_TLS_CLIENT_CA", authorities) }),
  };
}

/** The mesh that a certificate belongs to; nothing when it names no service of a mesh. */
export function findTrustDomain(certificate: Buffer): string | undefined {
  return findSpiffeName(new X509Certificate(certificate).subjectAltName)?.trustDomain;
}

function readPem(name: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? "unknown";
    throw new WeirError("SETTING_INVALID", `Cannot use TLS: the file of ${name} cannot be read: ${code}`, {
      facts: { setting: name, code },
      cause,
    });
  }
}

/**
 * Refuses to listen where strangers can hear in plain text: beyond loopback a server needs certificates, and one whose
 * callers are the mesh itself (`clients` is `certified`) needs the mesh's authorities too, so that TLS is mutual.
 */
export function checkListen(listen: Address, tls: Tls | undefined, clients: "certified" | "anyone"): void {
  if (isLoopback(listen.host)) return;
  const facts = { host: listen.host };
  if (tls === undefined) {
    throw new WeirError(
      "SETTING_INVALID",
      `Cannot listen on ${listen.host}: beyond loopback TLS is needed, set WEIR_TLS_CERTIFICATE and WEIR_TLS_KEY`,
      { facts },
    );
  }
  if (clients === "certified" && tls.authorities === undefined) {
    throw new WeirError(
      "SETTING_INVALID",
      `Cannot listen on ${listen.host}: beyond loopback callers must be certified, set WEIR_TLS_CLIENT_CA`,
      { facts },
    );
  }
}

/** Whether a host is this machine to itself. Of names only `localhost` is (RFC 6761, section 6.3). */
export function isLoopback(host: string): boolean {
  if (host === "localhost" || host === "::1") return true;
  return isIP(host) === 4 && host.startsWith("127.");
}
