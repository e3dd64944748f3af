import type { RoleName } from "./roles.ts";

/** A role and where it holds. */
export interface Grant {
  readonly role: RoleName;
  /** Id of the organisation, or "*" for the whole mesh. */
  readonly organisation: string;
  /** Id of the environment; empty for every environment of the organisation. */
  readonly environment: string;
}

/** A person or a machine that operates the mesh: an issuer's token or an admin key says who. */
export interface Operator {
  readonly kind: "operator";
  /** URL of the issuer that vouches for the subject, or {@link ADMIN_KEY_ISSUER}. */
  readonly issuer: string;
  /** Who it is, by the issuer's word; the id of an admin key. */
  readonly subject: string;
  readonly grants: readonly Grant[];
}

/** The services that have certificates of the mesh. */
export const SERVICE_NAMES = ["router", "policy", "metering", "audit"] as const;

/** Name of a service of the mesh. */
export type ServiceName = (typeof SERVICE_NAMES)[number];

/** An instance of a service, by its certificate. */
export interface Service {
  readonly kind: "service";
  readonly service: ServiceName;
  /** Id of its region, or "control" for the control plane's. */
  readonly region: string;
  readonly instance: string;
}

/**
 * Whoever speaks plain text to a service that listens on loopback, which is development: taken for whichever service it says it
 * is, since nothing on one machine could prove it. It is no operator.
 */
export interface Neighbour {
  readonly kind: "neighbour";
}

/** Nobody known. */
export interface Stranger {
  readonly kind: "stranger";
}

/** Who asks, established once for each request. */
export type Identity = Operator | Service | Neighbour | Stranger;

/** The issuer of admin keys, in records. No URL, so that no issuer of tokens can be taken for it. */
export const ADMIN_KEY_ISSUER = "weir:admin-key";

/** The region of the control plane's services. */
export const CONTROL_REGION = "control";

/** An identity for records and messages: "issuer#subject" of an operator. An issuer's URL has no "#", so it can be told apart again. */
export function describeIdentity(identity: Identity): string {
  switch (identity.kind) {
    case "operator":
      return `${identity.issuer}#${identity.subject}`;
    case "service":
      return `${identity.service} ${identity.region}/${identity.instance}`;
    case "neighbour":
      return "a process on this machine";
    case "stranger":
      return "a stranger";
  }
}
