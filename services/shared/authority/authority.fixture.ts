import type { DescMethod } from "@bufbuild/protobuf";
import type { Interceptor } from "@connectrpc/connect";
import { systemClock } from "../clock.ts";
import { createKey, hashKey } from "../key/key.ts";
import { createLog } from "../telemetry/log.ts";
import { Access, accessKey } from "./access.ts";
import { ADMIN_ENVIRONMENT, Authority } from "./authority.ts";
import type { Grant } from "./identity.ts";
import { createMethodRule } from "./method-rule.ts";
import { HOLDERS } from "./roles.ts";

const { keyId, text } = createKey(ADMIN_ENVIRONMENT);

/** An admin key that may do everything at services with {@link createTestAuthority}. */
export const TEST_ADMIN_KEY = text;

/** An authority that knows one operator, with every role in the whole mesh, or with the grants that are given. */
export function createTestAuthority(grants: readonly Grant[] = EVERYTHING): Authority {
  const key = { id: keyId, sha256: Buffer.from(hashKey(text)), grants, expiresAtMs: undefined };
  return new Authority({
    operators: { adminKeys: new Map([[keyId, key]]), issuers: new Map() },
    clock: systemClock,
    log: createLog({ service: "test", level: "silent" }),
  });
}

const EVERYTHING: readonly Grant[] = [...new Set(Object.values(HOLDERS).flatMap(({ roles = [] }) => roles))].map(
  (role) => ({
    role,
    organisation: "*",
    environment: "",
  }),
);

/** The access of the test operator to a method. */
function createTestAccess(method: DescMethod, grants: readonly Grant[] = EVERYTHING): Access {
  return new Access({ kind: "operator", issuer: "weir:admin-key", subject: keyId, grants }, createMethodRule(method));
}

/** Puts that access before handlers that are tested without a server. */
export function createTestAccessInterceptor(grants?: readonly Grant[]): Interceptor {
  return (next) => (request) => {
    request.contextValues.set(accessKey, createTestAccess(request.method, grants));
    return next(request);
  };
}
