import {
  type DescField,
  type DescMessage,
  type DescMethod,
  getOption,
  hasOption,
  type Message,
} from "@bufbuild/protobuf";
import { PermissionSchema } from "../../../gen/weir/type/v1/permission_pb.ts";
import { Reach, reach, Scope, scope } from "../../../gen/weir/type/v1/scope_pb.ts";
import { findPermission } from "../mesh/permission.ts";
import { findHolders, type Holders } from "./roles.ts";

/** What a request touches, as its fields say. Absent where the request has no such field, which is not the same as an empty one. */
export interface RequestScope {
  readonly organisation: string | undefined;
  readonly environment: string | undefined;
  readonly region: string | undefined;
  readonly instance: string | undefined;
}

/** Who may call a method, and for what, as its proto and the table of roles say. Made once for each method. */
export interface MethodRule {
  /** "package.Service/Method", for messages. */
  readonly method: string;
  /** Name of the permission, for messages. */
  readonly permission: string;
  readonly holders: Holders;
  readonly reach: Reach;
  /** Reads what a request touches. */
  readonly readScope: (message: Message) => RequestScope;
}

/** Reads the rule of a method. One that names no permission is held by nobody. */
export function createMethodRule(method: DescMethod): MethodRule {
  const permission = findPermission(method);
  const [organisation, tenant, environment, region, instance] = [
    Scope.ORGANISATION,
    Scope.TENANT,
    Scope.ENVIRONMENT,
    Scope.REGION,
    Scope.INSTANCE,
  ].map((wanted) => findField(method.input, wanted));
  const read = (message: Message, field: DescField | undefined) =>
    field === undefined ? undefined : String((message as unknown as Record<string, unknown>)[field.localName] ?? "");
  return {
    method: `${method.parent.typeName}/${method.name}`,
    permission:
      permission === undefined ? "a permission" : (PermissionSchema.value[permission]?.localName ?? String(permission)),
    holders: findHolders(permission),
    reach: hasOption(method, reach) ? getOption(method, reach) : Reach.UNSPECIFIED,
    readScope: (message) => ({
      organisation: read(message, organisation) ?? read(message, tenant)?.split("/", 1)[0],
      environment: read(message, environment),
      region: read(message, region),
      instance: read(message, instance),
    }),
  };
}

function findField(input: DescMessage, wanted: Scope): DescField | undefined {
  return input.fields.find((field) => hasOption(field, scope) && getOption(field, scope) === wanted);
}
