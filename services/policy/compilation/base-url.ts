import { BlockList, isIP } from "node:net";

/** What is wrong with a base URL, as a rule and a sentence. */
export interface BaseUrlProblem {
  readonly rule: string;
  readonly message: string;
}

/** A base URL in its one spelling, or all that is wrong with it. */
export type BaseUrlReading = { readonly url: string } | { readonly problems: readonly BaseUrlProblem[] };

// Never a provider: where clouds hand their machines credentials, and what is not one machine's address.
const FORBIDDEN = new BlockList();
FORBIDDEN.addSubnet("0.0.0.0", 8, "ipv4");
FORBIDDEN.addSubnet("169.254.0.0", 16, "ipv4"); // Link-local (RFC 3927), with the metadata service of most clouds.
FORBIDDEN.addAddress("100.100.100.200", "ipv4"); // Metadata of Alibaba Cloud.
FORBIDDEN.addAddress("192.0.0.192", "ipv4"); // Metadata of Oracle Cloud (classic).
FORBIDDEN.addSubnet("224.0.0.0", 3, "ipv4"); // Multicast, reserved, broadcast.
FORBIDDEN.addAddress("::", "ipv6");
FORBIDDEN.addSubnet("fe80::", 10, "ipv6"); // Link-local (RFC 4291, section 2.5.6).
FORBIDDEN.addSubnet("ff00::", 8, "ipv6"); // Multicast.
FORBIDDEN.addSubnet("fd00:ec2::", 32, "ipv6"); // Metadata of AWS.
FORBIDDEN.addAddress("fd20:ce::254", "ipv6"); // Metadata of Google Cloud.
// Prefixes that carry an IPv4 address inside (RFC 6052, RFC 3056): a way around the list above.
FORBIDDEN.addSubnet("64:ff9b::", 96, "ipv6");
FORBIDDEN.addSubnet("2002::", 16, "ipv6");
const FORBIDDEN_NAMES = new Set([
  "metadata",
  "metadata.google.internal",
  "instance-data",
  "instance-data.ec2.internal",
]);

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet("127.0.0.0", 8, "ipv4");
LOOPBACK.addAddress("::1", "ipv6");

/**
 * Reads a provider's base URL: https, or http on loopback; a host in ASCII; no user, password, query or fragment; no metadata or
 * link-local address in any spelling. What a name resolves to is for the router to check when it connects. Spelling: as WHATWG URL writes
 * it, without a slash at the end.
 */
export function readBaseUrl(text: string): BaseUrlReading {
  const problems: BaseUrlProblem[] = [];
  const report = (rule: string, message: string): void => void problems.push({ rule, message });
  const url = URL.canParse(text) ? new URL(text) : undefined;
  // The parser mends white space, back slashes and missing slashes in silence; what a person reviewed must be what is called.
  if (url === undefined || !/^[a-zA-Z][a-zA-Z0-9+.-]*:\/\/[^\s\\\p{Cc}]+$/u.test(text)) {
    report("URL_MALFORMED", 'Must be an absolute URL such as "https://api.openai.com/v1"');
    return { problems };
  }
  if (/^[^/]*\/\/[^/?#]*@/.test(text))
    report("URL_USER_INFO", "Must hold no user or password; name a credential instead");
  if (/[?#]/.test(text)) report("URL_QUERY", "Must hold no query and no fragment");
  const host = url.hostname.replace(/^\[|\]$/g, "").replace(/\.$/, "");
  const isLoopback = host === "localhost" || host.endsWith(".localhost") || isListed(LOOPBACK, host);
  if (url.protocol !== "https:" && !(url.protocol === "http:" && isLoopback)) {
    report("URL_SCHEME", "Must begin with https; http is for loopback addresses only");
  }
  // Letters of other alphabets look like those of a maker's name; who means such a host writes it as resolvers do ("xn--…").
  if (/^[^/]*\/\/[^/?#]*[^\x20-\x7e]/u.test(text))
    report("URL_HOST", "Must name its host in ASCII letters, digits, dots and dashes");
  if (FORBIDDEN_NAMES.has(host) || isListed(FORBIDDEN, host)) {
    report("URL_ADDRESS", "Must not lead to a metadata, link-local, multicast or unspecified address");
  }
  return problems.length > 0 ? { problems } : { url: url.href.replace(/\/+$/, "") };
}

function isListed(list: BlockList, host: string): boolean {
  const version = isIP(host);
  if (version === 0) return false;
  if (list.check(host, version === 4 ? "ipv4" : "ipv6")) return true;
  // ::169.254.169.254 and ::ffff:169.254.169.254 are spelt ::a9fe:a9fe and ::ffff:a9fe:a9fe by the URL parser.
  const embedded = /^::(?:ffff:)?([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(host);
  if (embedded === null) return false;
  const [high, low] = [Number.parseInt(embedded[1] as string, 16), Number.parseInt(embedded[2] as string, 16)];
  return list.check([high >> 8, high & 255, low >> 8, low & 255].join("."), "ipv4");
}
