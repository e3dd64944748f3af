import { createContextKey, type HandlerContext } from "@connectrpc/connect";
import { Reach } from "../../../gen/weir/type/v1/scope_pb.ts";
import { WeirError } from "../errors/weir-error.ts";
import { CONTROL_REGION, describeIdentity, type Grant, type Identity, type Service } from "./identity.ts";
import type { MethodRule, RequestScope } from "./method-rule.ts";

/** What an act touches: an organisation and perhaps one of its environments. Without an organisation: the whole mesh. */
export interface Touched {
  readonly organisation?: string;
  readonly environment?: string;
}

/** Who asks, and how far they may go with the permission that the RPC needs. Handed to each handler of a server with an authority. */
export class Access {
  readonly identity: Identity;
  readonly #rule: MethodRule;
  readonly #grants: readonly Grant[];

  constructor(identity: Identity, rule: MethodRule) {
    this.identity = identity;
    this.#rule = rule;
    const roles = rule.holders.roles ?? [];
    this.#grants = identity.kind === "operator" ? identity.grants.filter(({ role }) => roles.includes(role)) : [];
  }

  /** Who acts, for the record: "issuer#subject". */
  get actor(): string {
    return describeIdentity(this.identity);
  }

  /** Whether the caller may do it anywhere at all. Decided before the request is read, so that a stranger learns nothing. */
  get isHeld(): boolean {
    const { anyone, keys, services = [] } = this.#rule.holders;
    if (anyone || keys) return true;
    const { identity } = this;
    if (identity.kind === "service") return services.includes(identity.service);
    if (identity.kind === "neighbour") return services.length > 0;
    return this.#grants.length > 0;
  }

  /** Why a caller who holds the permission nowhere is refused: not known (IDENTITY_MISSING), or known and not allowed (PERMISSION_DENIED). */
  explainRefusal(): WeirError {
    const { method, permission, holders } = this.#rule;
    const { kind } = this.identity;
    if (kind === "operator" || kind === "service") return this.#refuse("anything");
    const needed =
      holders.services === undefined ? "a token or an admin key of an operator" : "a certificate of the mesh";
    return new WeirError("IDENTITY_MISSING", `Cannot call ${method}: it needs ${needed}`, {
      facts: { method, permission },
    });
  }

  /** Whether an operator may do it to what is touched. */
  allows({ organisation = "", environment = "" }: Touched): boolean {
    return this.#grants.some(
      (grant) =>
        grant.organisation === "*" ||
        (organisation !== "" &&
          grant.organisation === organisation &&
          (grant.environment === "" || grant.environment === environment)),
    );
  }

  /** Whether an operator may do it to something within the organisation. */
  reachesInto(organisation: string): boolean {
    return this.#grants.some((grant) => grant.organisation === "*" || grant.organisation === organisation);
  }

  /**
   * Refuses what is touched with PERMISSION_DENIED unless the caller may do it there. For handlers of methods whose reach is REACH_OBJECT;
   * all others were checked before they were called. The words are the same whether there is such an organisation or not.
   */
  require(touched: Touched): void {
    if (this.allows(touched)) return;
    const { organisation = "", environment = "" } = touched;
    throw this.#refuse(describeTouched(touched), { organisation, environment });
  }

  /** Refuses a request that goes beyond what the caller may do, by the fields that say what it touches. */
  requireRequest(request: RequestScope): void {
    const { anyone, keys } = this.#rule.holders;
    if (anyone || keys || this.identity.kind === "neighbour") return;
    if (this.identity.kind === "service") {
      this.#requireSelf(this.identity, request);
      return;
    }
    const { organisation, environment = "" } = request;
    switch (this.#rule.reach) {
      case Reach.ANYWHERE:
        return;
      case Reach.OBJECT:
        if (organisation !== undefined && !this.reachesInto(organisation)) this.require({ organisation });
        return;
      default:
        this.require({ organisation: organisation ?? "", environment });
    }
  }

  #requireSelf(service: Service, { region, instance }: RequestScope): void {
    // The instances of a control-plane service share one outbox, and so one name as a producer.
    const self = service.region === CONTROL_REGION ? service.service : service.instance;
    // A request that cannot say whom it speaks for could speak for anyone.
    if (region === undefined) throw this.#refuse("the whole mesh");
    if (region !== service.region) throw this.#refuse(`region "${region}"`, { region });
    if (instance !== undefined && instance !== self) throw this.#refuse(`instance "${instance}"`, { instance });
  }

  #refuse(where: string, facts: Readonly<Record<string, string>> = {}): WeirError {
    const { method, permission } = this.#rule;
    return new WeirError("PERMISSION_DENIED", `Cannot call ${method}: ${this.actor} lacks ${permission} for ${where}`, {
      facts: { method, permission, ...facts },
    });
  }
}

/** Where a server puts the access of a call for its handler. */
export const accessKey = createContextKey<Access | undefined>(undefined, { description: "who asks" });

/** Who asks, for a handler. Throws INTERNAL on a server without an authority, which nobody's roles could be asked of. */
export function getAccess(context: Pick<HandlerContext, "values">): Access {
  const access = context.values.get(accessKey);
  if (access === undefined) throw new WeirError("INTERNAL", "Cannot tell who asks: the server has no authority");
  return access;
}

function describeTouched({ organisation = "", environment = "" }: Touched): string {
  if (organisation === "") return "the whole mesh";
  return environment === ""
    ? `organisation "${organisation}"`
    : `environment "${environment}" of organisation "${organisation}"`;
}
