import { createPrivateKey, X509Certificate } from "node:crypto";
import { type Clock, pause } from "../clock.ts";
import type { Settings } from "../settings.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { WATCH_INTERVAL_MS } from "../watch-file.ts";
import { readTls, type Tls, type tlsSettings } from "./tls.ts";

/** What the certificates of a service are opened with. */
export interface TlsOptions {
  readonly settings: Settings<typeof tlsSettings>;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics?: Pick<Metrics, "weir_certificate_left_seconds" | "onPage">;
  /** Ends the watch over the files. */
  readonly signal: AbortSignal;
}

/**
 * Opens the certificates of a service, and reads their files again every {@link WATCH_INTERVAL_MS}: what is renewed is used for every new
 * connection, without a restart. Files that do not fit together (one is written before the other) are passed over, and the last good set stays.
 * Nothing when no setting names a file. Throws SETTING_INVALID at the start as `readTls` does.
 */
export function openTls({ settings, clock, log, metrics, signal }: TlsOptions): Tls | undefined {
  const opened = readTls(settings);
  if (opened === undefined) return undefined;
  checkPair(opened);
  let current = opened;
  const listeners = new Set<(renewed: Tls) => void>();
  const onRenewal = (listener: (renewed: Tls) => void): void => void listeners.add(listener);
  const alarm = createAlarm(clock, log);
  metrics?.onPage(() => {
    metrics.weir_certificate_left_seconds.set({ certificate: "mesh" }, leftMs(current, clock) / 1_000);
  });

  let isFailing = false;
  const look = (): void => {
    try {
      const found = readTls(settings);
      if (found === undefined || isSame(found, current)) return;
      checkPair(found);
      current = found;
      for (const listener of listeners) listener(found);
      log.info({ notAfter: new X509Certificate(found.certificate).validTo }, "Certificates renewed");
      isFailing = false;
    } catch (error) {
      if (!isFailing) log.warn({ err: error }, "Cannot take renewed certificates; the last good ones stay");
      isFailing = true;
    }
  };
  void (async () => {
    while (!signal.aborted) {
      alarm(current);
      await pause(clock, WATCH_INTERVAL_MS, signal);
      if (!signal.aborted) look();
    }
  })();
  // What is made of these later, such as a channel, begins with the certificates of then.
  return {
    get certificate() {
      return current.certificate;
    },
    get key() {
      return current.key;
    },
    get authorities() {
      return current.authorities;
    },
    onRenewal,
  };
}

/** Warns once of each certificate of whose life no more than a quarter is left. */
function createAlarm(clock: Clock, log: Log): (tls: Tls) => void {
  let warnedOf: Buffer | undefined;
  return (tls) => {
    if (warnedOf?.equals(tls.certificate)) return;
    const { validFrom, validTo } = new X509Certificate(tls.certificate);
    if (leftMs(tls, clock) > (Date.parse(validTo) - Date.parse(validFrom)) / 4) return;
    warnedOf = tls.certificate;
    log.warn({ notAfter: validTo }, "The certificate ends soon and was not renewed");
  };
}

function leftMs({ certificate }: Tls, clock: Clock): number {
  return Date.parse(new X509Certificate(certificate).validTo) - clock.nowMs();
}

function isSame(a: Tls, b: Tls): boolean {
  const authorities = a.authorities ?? Buffer.alloc(0);
  return (
    a.certificate.equals(b.certificate) && a.key.equals(b.key) && authorities.equals(b.authorities ?? Buffer.alloc(0))
  );
}

/** Throws when the key is not that of the certificate. */
function checkPair({ certificate, key }: Tls): void {
  if (!new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key))) {
    throw new Error("Cannot use TLS: the private key is not that of the certificate");
  }
}
