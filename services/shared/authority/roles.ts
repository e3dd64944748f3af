import type { Role } from "../../../gen/weir/type/v1/operators_pb.ts";
import { type Permission, PermissionSchema } from "../../../gen/weir/type/v1/permission_pb.ts";
import type { ServiceName } from "./identity.ts";

/** Name of a role, as in the proto. */
export type RoleName = Exclude<keyof typeof Role, "UNSPECIFIED">;

/** Who may hold a permission. What is not named here does not. */
export interface Holders {
  /** Operators with one of these roles, where the role holds. */
  readonly roles?: readonly RoleName[];
  /** Services, each for its own region and itself. */
  readonly services?: readonly ServiceName[];
  /** Callers of a router: the RPC itself looks at their virtual key. */
  readonly keys?: true;
  /** Anyone at all. */
  readonly anyone?: true;
}

const SEES: readonly RoleName[] = ["VIEWER", "EDITOR", "PUBLISHER", "AUDITOR"];

/**
 * Who may do what, the one table. A permission of the proto without a row here does not compile, and one that is not known at run time
 * is held by nobody.
 */
export const HOLDERS: Readonly<Record<Exclude<keyof typeof Permission, "UNSPECIFIED">, Holders>> = {
  PUBLIC: { anyone: true },
  CHAT: { keys: true },
  EMBED: { keys: true },
  POLICY_READ: { roles: [...SEES, "KEY_MANAGER", "CREDENTIAL_MANAGER"] },
  POLICY_CHECK: { roles: ["EDITOR", "PUBLISHER"] },
  POLICY_WRITE: { roles: ["PUBLISHER"] },
  KEY_READ: { roles: [...SEES, "KEY_MANAGER"] },
  KEY_WRITE: { roles: ["KEY_MANAGER"] },
  CREDENTIAL_READ: { roles: ["CREDENTIAL_MANAGER", "AUDITOR"] },
  CREDENTIAL_WRITE: { roles: ["CREDENTIAL_MANAGER"] },
  CREDENTIAL_WATCH: { services: ["router"] },
  SPEND_READ: { roles: SEES },
  AUDIT_READ: { roles: ["AUDITOR"] },
  SNAPSHOT_WATCH: { services: ["router"] },
  SNAPSHOT_REPORT: { services: ["router"] },
  INTAKE_READ: { services: ["router", "policy"] },
};

/** Who may hold a permission; nobody when it is not in the table. */
export function findHolders(permission: Permission | undefined): Holders {
  const name = permission === undefined ? undefined : PermissionSchema.value[permission]?.localName;
  return (name !== undefined && Object.hasOwn(HOLDERS, name) && HOLDERS[name as keyof typeof HOLDERS]) || {};
}
