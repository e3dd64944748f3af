import { CONTROL_REGION, SERVICE_NAMES, type Service, type ServiceName } from "./identity.ts";

/** A service and the mesh that it belongs to, as a certificate names them. */
export interface SpiffeName {
  /** Name of the mesh, such as "weir.local" (SPIFFE ID, section 2.1). */
  readonly trustDomain: string;
  readonly service: Service;
}

const DOMAIN = /^[a-z0-9._-]{1,255}$/;
const REGIONAL = /^\/region\/([a-z0-9][a-z0-9-]{0,31})\/(router|audit)\/([a-z0-9][a-z0-9-]{0,62})$/;
const CONTROL = /^\/control\/(policy|metering|audit)\/([a-z0-9][a-z0-9-]{0,62})$/;

/**
 * The name of a service in a certificate: `spiffe://<trust domain>/region/<region>/<router|audit>/<instance>`, or
 * `spiffe://<trust domain>/control/<policy|metering|audit>/<instance>`.
 */
export function formatSpiffe({ trustDomain, service: { service, region, instance } }: SpiffeName): string {
  const place = region === CONTROL_REGION ? "control" : `region/${region}`;
  return `spiffe://${trustDomain}/${place}/${service}/${instance}`;
}

/** Reads such a name. Returns nothing for any other text, also where it differs by no more than a slash or a capital letter. */
export function parseSpiffe(text: string): SpiffeName | undefined {
  if (!text.startsWith("spiffe://")) return undefined;
  const rest = text.slice("spiffe://".length);
  const slash = rest.indexOf("/");
  const trustDomain = rest.slice(0, Math.max(slash, 0));
  if (!DOMAIN.test(trustDomain)) return undefined;
  const path = rest.slice(slash);
  const [, region, regional, router] = REGIONAL.exec(path) ?? [];
  // A region of that name would be taken for the control plane.
  if (regional !== undefined)
    return region === CONTROL_REGION ? undefined : toName(trustDomain, regional, region, router);
  const [, service, instance] = CONTROL.exec(path) ?? [];
  return toName(trustDomain, service, CONTROL_REGION, instance);
}

function toName(
  trustDomain: string,
  service: string | undefined,
  region: string | undefined,
  instance: string | undefined,
): SpiffeName | undefined {
  if (region === undefined || instance === undefined || !isServiceName(service)) return undefined;
  return { trustDomain, service: { kind: "service", service, region, instance } };
}

function isServiceName(text: string | undefined): text is ServiceName {
  return (SERVICE_NAMES as readonly (string | undefined)[]).includes(text);
}
