/** How long a peer under TLS may stay: as long as the certificate is good that it has shown. */
import type { EventEmitter } from "node:events";
import type { ServerHttp2Session } from "node:http2";
import type { TLSSocket } from "node:tls";
import { systemClock } from "../clock.ts";
import { findPeer, readPeer } from "./peer.ts";

/** Longest that a Node timer can wait, milliseconds. */
const LONGEST_TIMER_MS = 2_147_483_647;
/** How long before the end of its certificate a peer is asked to connect anew. */
const FAREWELL_MS = 1_000;

/**
 * Whether a peer under TLS may go on: with a certificate that verifies, until that ends, or with none. Ends the connection of any other. What
 * still runs at the end is cut: a watch would go on for ever.
 */
export function admitPeer(socket: TLSSocket, trustDomain: string | undefined): boolean {
  if (!socket.authorized) {
    if (socket.getPeerX509Certificate() !== undefined) socket.destroy();
    return !socket.destroyed;
  }
  const peer = readPeer(socket, trustDomain);
  if (peer !== undefined) callAt(peer.expiresAtMs, socket, () => socket.destroy());
  return true;
}

/** Sends a peer away (GOAWAY) before its certificate ends: its calls in flight may finish, those to come need the certificate that follows. */
export function askToLeave(session: ServerHttp2Session): void {
  const peer = findPeer({ socket: session.socket });
  if (peer !== undefined) callAt(peer.expiresAtMs - FAREWELL_MS, session, () => session.close());
}

/** Calls at an instant, however far away, unless the connection has closed by then. */
function callAt(atMs: number, connection: EventEmitter, act: () => void): void {
  const leftMs = Math.max(atMs - systemClock.nowMs(), 0);
  const next = leftMs > LONGEST_TIMER_MS ? () => callAt(atMs, connection, act) : act;
  const timer = setTimeout(next, Math.min(leftMs, LONGEST_TIMER_MS)).unref();
  connection.once("close", () => clearTimeout(timer));
}
