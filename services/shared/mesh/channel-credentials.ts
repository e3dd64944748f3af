import { type ChannelCredentials, credentials, experimental } from "@grpc/grpc-js";
import type { ClientTls } from "./tls.ts";

/**
 * What a channel shows and believes. Where certificates are renewed, connections that are made later show the new ones; those that are there go
 * on until the server sends them away. Without TLS: plain text.
 */
export function createChannelCredentials(tls: ClientTls | undefined): ChannelCredentials {
  if (tls === undefined) return credentials.createInsecure();
  const { authorities, certificate, key, onRenewal } = tls;
  if (authorities === undefined || onRenewal === undefined) {
    return credentials.createSsl(authorities ?? null, key ?? null, certificate ?? null);
  }
  const provider = new RenewedCertificates(tls);
  onRenewal((renewed) => provider.replace(renewed));
  return experimental.createCertificateProviderChannelCredentials(provider, key === undefined ? null : provider);
}

type AuthorityListener = Parameters<experimental.CertificateProvider["addCaCertificateListener"]>[0];
type IdentityListener = Parameters<experimental.CertificateProvider["addIdentityCertificateListener"]>[0];

/** Hands a channel the certificates of now, and those that follow. */
class RenewedCertificates implements experimental.CertificateProvider {
  #tls: ClientTls;
  readonly #authorityListeners = new Set<AuthorityListener>();
  readonly #identityListeners = new Set<IdentityListener>();

  constructor(tls: ClientTls) {
    this.#tls = tls;
  }

  replace(tls: ClientTls): void {
    this.#tls = tls;
    for (const listener of this.#authorityListeners) this.#tellAuthorities(listener);
    for (const listener of this.#identityListeners) this.#tellIdentity(listener);
  }

  addCaCertificateListener(listener: AuthorityListener): void {
    this.#authorityListeners.add(listener);
    // Not within the call: the channel is not whole yet.
    process.nextTick(() => this.#tellAuthorities(listener));
  }

  removeCaCertificateListener(listener: AuthorityListener): void {
    this.#authorityListeners.delete(listener);
  }

  addIdentityCertificateListener(listener: IdentityListener): void {
    this.#identityListeners.add(listener);
    process.nextTick(() => this.#tellIdentity(listener));
  }

  removeIdentityCertificateListener(listener: IdentityListener): void {
    this.#identityListeners.delete(listener);
  }

  #tellAuthorities(listener: AuthorityListener): void {
    const { authorities } = this.#tls;
    listener(authorities === undefined ? null : { caCertificate: authorities });
  }

  #tellIdentity(listener: IdentityListener): void {
    const { certificate, key } = this.#tls;
    listener(certificate === undefined || key === undefined ? null : { certificate, privateKey: key });
  }
}
