import { experimental } from "@grpc/grpc-js";
import type { Address } from "../settings.ts";

const SCHEME = "weir-addresses";

type Uri = Parameters<typeof experimental.createResolver>[0];
type Listener = experimental.ResolverListener;

/**
 * The target string of a gRPC channel over several addresses, of which names are looked up anew at each connect. A
 * single address should use gRPC's own `dns:` instead, which balances over all IPs of a name.
 */
export function toTarget(addresses: readonly Address[]): string {
  experimental.registerResolver(SCHEME, AddressResolver);
  return `${SCHEME}:${addresses.map(formatAddress).join(",")}`;
}

/** `host:port`, an IPv6 host in brackets. */
export function formatAddress({ host, port }: Address): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Hands a channel its fixed list of addresses. */
class AddressResolver implements experimental.Resolver {
  readonly #endpoints: experimental.Endpoint[];
  readonly #listener: Listener;
  #told = false;

  constructor(target: Uri, listener: Listener) {
    this.#listener = listener;
    this.#endpoints = target.path.split(",").map((text) => {
      const colon = text.lastIndexOf(":");
      return {
        addresses: [{ host: text.slice(0, colon).replace(/^\[|\]$/g, ""), port: Number(text.slice(colon + 1)) }],
      };
    });
  }

  updateResolution(): void {
    if (this.#told) return;
    this.#told = true;
    // The channel must not hear of it within its own call.
    process.nextTick(() => {
      if (this.#told) this.#listener({ ok: true, value: this.#endpoints }, {}, null, "");
    });
  }

  destroy(): void {
    this.#told = false;
  }

  static getDefaultAuthority(target: Uri): string {
    return target.path.split(",", 1)[0] ?? "";
  }
}
