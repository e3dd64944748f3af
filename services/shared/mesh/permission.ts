import { type DescMethod, type DescService, getOption, hasOption } from "@bufbuild/protobuf";
import { Permission, permission } from "../../../gen/weir/type/v1/permission_pb.ts";
import { WeirError } from "../errors/weir-error.ts";

/** The permission that an RPC of ours needs, as its proto says; `undefined` when it says none, which is a mistake in the proto. */
export function findPermission(method: DescMethod): Permission | undefined {
  if (!hasOption(method, permission)) return undefined;
  const needed = getOption(method, permission);
  return needed === Permission.UNSPECIFIED ? undefined : needed;
}

/** Refuses to serve an RPC that names no permission: nobody would have decided who may call it. Throws INTERNAL. */
export function checkPermissions(services: readonly DescService[]): void {
  const open = services.flatMap((service) => service.methods).filter((method) => findPermission(method) === undefined);
  if (open.length === 0) return;
  const names = open.map((method) => `${method.parent.typeName}/${method.name}`).join(", ");
  throw new WeirError("INTERNAL", `Cannot serve ${names}: the proto names no permission`, {
    facts: { methods: names },
  });
}
