import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import type { Service } from "../authority/identity.ts";
import { parseSpiffe, type SpiffeName } from "../authority/spiffe.ts";
import { systemClock } from "../clock.ts";

/** Where a connection keeps what its certificate says. A property of the socket, since HTTP/2 hands out a proxy of it. */
const PEER = Symbol("peer");

/** What the certificate of a peer says, once its chain has been verified. */
export interface PeerCertificate {
  /** The service that it names, when it is one of this mesh. */
  readonly service: Service | undefined;
  /** When it stops being good, milliseconds since the epoch. */
  readonly expiresAtMs: number;
}

/**
 * Reads the certificate that a peer has shown, and keeps it with the connection. Returns nothing when it has shown none. Call it when the
 * chain has been verified only.
 */
export function readPeer(socket: TLSSocket, trustDomain: string | undefined): PeerCertificate | undefined {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return undefined;
  const name = findSpiffeName(certificate.subjectAltName);
  const service = name !== undefined && name.trustDomain === trustDomain ? name.service : undefined;
  const peer = { service, expiresAtMs: Date.parse(certificate.validTo) };
  (socket as unknown as Record<symbol, unknown>)[PEER] = peer;
  return peer;
}

/** What the certificate of a connection says; nothing in plain text, or when the peer has shown none. */
export function findPeer({ socket }: { readonly socket: Duplex }): PeerCertificate | undefined {
  return (socket as unknown as Record<symbol, PeerCertificate | undefined>)[PEER];
}

/** The service that the certificate of a connection names, while that is good. */
export function findPeerService(request: { readonly socket: Duplex }): Service | undefined {
  const peer = findPeer(request);
  return peer !== undefined && peer.expiresAtMs > systemClock.nowMs() ? peer.service : undefined;
}

/** A name that Node has put in quotes, since what is in it could be taken for further names. No name of ours is such a one. */
const QUOTED = /"(?:[^"\\]|\\.)*"/g;

/** The SPIFFE name in a certificate's alternative names. Nothing when it has none or several (X.509-SVID, section 2). */
export function findSpiffeName(subjectAltName: string | undefined): SpiffeName | undefined {
  const names = (subjectAltName ?? "").replaceAll(QUOTED, "quoted").split(", ");
  const uris = names.filter((name) => name.startsWith("URI:"));
  return uris.length === 1 ? parseSpiffe((uris[0] as string).slice("URI:".length)) : undefined;
}
