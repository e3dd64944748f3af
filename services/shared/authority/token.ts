import { decodeJwt, errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from "jose";
import type { Clock } from "../clock.ts";
import { WeirError } from "../errors/weir-error.ts";
import type { Operator } from "./identity.ts";
import type { KnownIssuer } from "./operators-file.ts";

/** How far the clocks of issuer and service may be apart, seconds. */
const SKEW_S = 30;
/** Longest text that is looked at. */
const TOKEN_LIMIT = 12 << 10;
/** Longest name of an operator that goes into a record. */
const SUBJECT_LIMIT = 256;

/** What a token is held against. */
export interface TokenParts {
  readonly issuers: ReadonlyMap<string, KnownIssuer>;
  /** Finds the public keys of an issuer. */
  readonly keysOf: (issuer: KnownIssuer) => JWTVerifyGetKey;
  readonly clock: Clock;
}

/**
 * Verifies an OpenID Connect token and says whose it is, with the roles that the bindings give them. The token is hostile until its
 * signature holds: of what it says only the issuer's name is looked at before, to choose the keys. Throws TOKEN_REFUSED with a state that
 * gives nothing away, UNAVAILABLE when the issuer's keys are not to be had.
 */
export async function verifyToken(token: string, { issuers, keysOf, clock }: TokenParts): Promise<Operator> {
  const issuer = issuers.get(readIssuer(token));
  if (issuer === undefined) throw refuse("its issuer is not trusted");
  let claims: JWTPayload;
  try {
    const verified = await jwtVerify(token, keysOf(issuer), {
      issuer: issuer.url,
      audience: [...issuer.audiences],
      algorithms: [...issuer.algorithms],
      clockTolerance: SKEW_S,
      requiredClaims: ["exp"],
      currentDate: new Date(clock.nowMs()),
    });
    claims = verified.payload;
  } catch (error) {
    throw toRefusal(error);
  }
  const subject = claims[issuer.subjectClaim];
  if (typeof subject !== "string" || subject === "" || subject.length > SUBJECT_LIMIT) {
    throw refuse(`its claim "${issuer.subjectClaim}" names nobody`);
  }
  const groups = readGroups(claims[issuer.groupsClaim]);
  const grants = [
    ...(issuer.bySubject.get(subject) ?? []),
    ...groups.flatMap((name) => issuer.byGroup.get(name) ?? []),
  ];
  return { kind: "operator", issuer: issuer.url, subject, grants };
}

function readIssuer(token: string): string {
  if (token.length > TOKEN_LIMIT) throw refuse("it is too long");
  try {
    return decodeJwt(token).iss ?? "";
  } catch (cause) {
    throw refuse("it is no token", cause);
  }
}

function readGroups(claim: unknown): readonly string[] {
  if (typeof claim === "string") return claim.split(" ");
  return Array.isArray(claim) ? claim.filter((name) => typeof name === "string") : [];
}

function toRefusal(error: unknown): unknown {
  if (error instanceof errors.JWTExpired) return refuse("it has expired", error);
  if (error instanceof errors.JWTClaimValidationFailed) {
    const state = error.claim === "nbf" ? "it is not good yet" : `its claim "${error.claim}" is not what it should be`;
    return refuse(state, error);
  }
  if (error instanceof errors.JOSEAlgNotAllowed) return refuse("its algorithm is not accepted", error);
  // A signature that fails and a key that is not there are told alike.
  return error instanceof errors.JOSEError ? refuse("its signature does not hold", error) : error;
}

function refuse(state: string, cause?: unknown): WeirError {
  return new WeirError("TOKEN_REFUSED", `Cannot accept token: ${state}`, { cause });
}
