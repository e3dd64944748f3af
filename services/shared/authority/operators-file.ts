import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { parseDocument } from "yaml";
import { type Operators, OperatorsSchema, type RoleGrant, RoleSchema } from "../../../gen/weir/type/v1/operators_pb.ts";
import { WeirError } from "../errors/weir-error.ts";
import { createMessageCheck } from "../mesh/validate.ts";
import type { Grant } from "./identity.ts";
import type { RoleName } from "./roles.ts";

/** Largest document that is read, bytes. */
export const OPERATORS_LIMIT_BYTES = 1 << 20;

/** An admin key as the operators' document has it. */
export interface KnownAdminKey {
  readonly id: string;
  /** SHA-256 of its text, 32 bytes. */
  readonly sha256: Buffer;
  readonly grants: readonly Grant[];
  /** When it stops being good, milliseconds since the epoch. */
  readonly expiresAtMs: number | undefined;
}

/** An issuer as the operators' document has it, with its defaults filled in. */
export interface KnownIssuer {
  readonly url: string;
  readonly audiences: readonly string[];
  readonly algorithms: readonly string[];
  /** Where its keys are; absent for discovery. */
  readonly jwksUri: string | undefined;
  readonly subjectClaim: string;
  readonly groupsClaim: string;
  readonly bySubject: ReadonlyMap<string, readonly Grant[]>;
  readonly byGroup: ReadonlyMap<string, readonly Grant[]>;
}

/** Who operates a mesh, as looked up. */
export interface KnownOperators {
  readonly adminKeys: ReadonlyMap<string, KnownAdminKey>;
  readonly issuers: ReadonlyMap<string, KnownIssuer>;
}

/** Nobody: what a service without the setting knows. */
export const NO_OPERATORS: KnownOperators = { adminKeys: new Map(), issuers: new Map() };

const ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA"];

/** Parses the operators' document (YAML, the JSON form of weir.type.v1.Operators). Throws SETTING_INVALID with what is wrong. */
export function parseOperators(text: string): KnownOperators {
  const operators = toOperators(text);
  const adminKeys = new Map<string, KnownAdminKey>();
  for (const { id, sha256, grants, expiresAt } of operators.adminKeys) {
    if (adminKeys.has(id)) throw refuse(`admin key "${id}" is there twice`);
    const expiresAtMs = expiresAt === undefined ? undefined : timestampMs(expiresAt);
    adminKeys.set(id, { id, sha256: Buffer.from(sha256, "hex"), grants: grants.flatMap(toGrants), expiresAtMs });
  }
  const issuers = new Map<string, KnownIssuer>();
  for (const { url, audiences, algorithms, jwksUri, subjectClaim, groupsClaim } of operators.issuers) {
    if (issuers.has(url)) throw refuse(`issuer "${url}" is there twice`);
    checkUrl(url);
    if (jwksUri !== "") checkUrl(jwksUri);
    const bindings = operators.bindings.filter(({ issuer }) => issuer === url);
    issuers.set(url, {
      url,
      audiences,
      algorithms: algorithms.length === 0 ? ALGORITHMS : algorithms,
      jwksUri: jwksUri || undefined,
      subjectClaim: subjectClaim || "sub",
      groupsClaim: groupsClaim || "groups",
      bySubject: group(bindings, "subject"),
      byGroup: group(bindings, "group"),
    });
  }
  const orphan = operators.bindings.find(({ issuer }) => !issuers.has(issuer));
  if (orphan !== undefined) throw refuse(`a binding names issuer "${orphan.issuer}", which is not listed`);
  return { adminKeys, issuers };
}

function toOperators(text: string): Operators {
  const document = parseDocument(text, { uniqueKeys: true, strict: true });
  // A warning is something that was read otherwise than it was meant, such as an unknown tag.
  const problem = document.errors[0] ?? document.warnings[0];
  if (problem !== undefined) throw refuse(problem.message);
  const json = (document.toJS({ maxAliasCount: 100 }) ?? {}) as JsonValue;
  try {
    const operators = fromJson(OperatorsSchema, json, { ignoreUnknownFields: false });
    createMessageCheck()(OperatorsSchema, operators);
    return operators;
  } catch (cause) {
    throw refuse((cause as Error).message, cause);
  }
}

function group(bindings: Operators["bindings"], by: "subject" | "group"): Map<string, Grant[]> {
  const grouped = new Map<string, Grant[]>();
  for (const { who, grants } of bindings) {
    if (who.case !== by) continue;
    grouped.set(who.value, [...(grouped.get(who.value) ?? []), ...grants.flatMap(toGrants)]);
  }
  return grouped;
}

function toGrants({ roles, organisation, environment }: RoleGrant): Grant[] {
  return roles.map((role) => ({ role: RoleSchema.value[role]?.localName as RoleName, organisation, environment }));
}

/** Whether an issuer, or its keys, may be there: what comes in the clear from elsewhere than this machine could be anybody's. */
export function isTrustworthy(url: string): boolean {
  const { protocol, hostname } = new URL(url);
  return protocol === "https:" || (protocol === "http:" && ["localhost", "127.0.0.1", "[::1]"].includes(hostname));
}

function checkUrl(url: string): void {
  if (!isTrustworthy(url)) throw refuse(`"${url}" must be an https URL`);
}

function refuse(state: string, cause?: unknown): WeirError {
  return new WeirError("SETTING_INVALID", `Cannot read operators: ${state}`, {
    facts: { setting: "WEIR_OPERATORS" },
    cause,
  });
}
