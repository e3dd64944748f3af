import type { HandlerContext } from "@connectrpc/connect";
import { type Access, getAccess } from "../shared/authority/access.ts";

/** Who changes something, and until when they wait for it. */
export interface Acting {
  readonly access: Pick<Access, "actor" | "allows" | "require">;
  /** Aborts when the caller is gone. Absent: they wait as long as it takes. */
  readonly signal?: AbortSignal;
}

/** Who calls a handler. */
export function toActing(context: HandlerContext): Acting {
  return { access: getAccess(context), signal: context.signal };
}
