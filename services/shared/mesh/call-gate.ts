import type { IncomingMessage } from "node:http";
import type { DescMethod, Message } from "@bufbuild/protobuf";
import {
  type ConnectError,
  type ContextValues,
  createContextKey,
  createContextValues,
  type Interceptor,
} from "@connectrpc/connect";
import { Access, accessKey } from "../authority/access.ts";
import type { Authority } from "../authority/authority.ts";
import type { Identity } from "../authority/identity.ts";
import { createMethodRule, type MethodRule } from "../authority/method-rule.ts";
import { WeirError } from "../errors/weir-error.ts";
import { toConnectError } from "../errors/wire.ts";
import { findPeerService } from "./peer.ts";
import type { SettleCall } from "./settle-call.ts";

/** What was decided of a call before its body was read. */
export interface Admission {
  /** Carries what was decided to the gate's interceptor, and the access to the handler. */
  readonly values: ContextValues;
  /** Why the call is refused; absent when it goes on. */
  readonly refusal?: ConnectError;
}

/** Decides by the head of a request whether a call may be made at all. Never throws or rejects. */
export type CallGate = (method: DescMethod, request: IncomingMessage) => Admission | Promise<Admission>;

/** What the gate decided; absent when a call did not come by it, which is a bug. */
type Decision = { readonly refusal: ConnectError } | "open" | { readonly access: Access; readonly rule: MethodRule };

const decisionKey = createContextKey<Decision | undefined>(undefined);
const NOBODY: Identity = { kind: "stranger" };
/** Health and reflection say what is served, and nothing of what is in it. */
const OPEN_SERVICES = /^grpc\.(health|reflection)\./;

/**
 * Creates the gate before all RPCs of a server. It establishes who asks, once, and refuses who holds the permission nowhere, before a byte
 * of the body is read: a stranger learns nothing of what is wrong with a message, and makes nobody parse one.
 */
export function createCallGate(options: {
  readonly authority: Pick<Authority, "identify"> | undefined;
  /** Whether the server speaks plain text on loopback. */
  readonly isLocal: boolean;
  readonly settle: SettleCall;
}): CallGate {
  const { authority, isLocal, settle } = options;
  const rules = new Map<DescMethod, MethodRule>();
  const ruleOf = (method: DescMethod): MethodRule => {
    const rule = rules.get(method) ?? createMethodRule(method);
    rules.set(method, rule);
    return rule;
  };

  return (method, request) => {
    if (OPEN_SERVICES.test(method.parent.typeName)) return open();
    const rule = ruleOf(method);
    // A caller's key is judged by the RPC itself, and stands in the same header as an operator's token.
    if (rule.holders.keys || rule.holders.anyone) return open();
    const beganMs = performance.now();
    const refuse = (error: unknown): Admission => {
      // Of a unary call the library reads the body before any interceptor runs, so that none would measure it.
      const isReadFirst = method.methodKind === "unary" && request.method !== "GET";
      const refusal = isReadFirst ? settle(rule.method, beganMs, error) : undefined;
      return decided({ refusal: refusal ?? toConnectError(error) });
    };
    const admit = (identity: Identity): Admission => {
      const access = new Access(identity, rule);
      return access.isHeld ? decided({ access, rule }) : refuse(access.explainRefusal());
    };
    try {
      const { authorization } = request.headers;
      const identity = authority?.identify({ authorization, service: findPeerService(request), isLocal }) ?? NOBODY;
      return identity instanceof Promise ? identity.then(admit).catch(refuse) : admit(identity);
    } catch (error) {
      return refuse(error);
    }
  };
}

/**
 * Creates the interceptor behind the gate: refuses calls that the gate refused or never saw, and holds what each request touches against
 * what the caller may do there. Before validation, so that only who may ask hears what is wrong with a request.
 */
export function createGateInterceptor(): Interceptor {
  return (next) => (request) => {
    const decision = request.contextValues.get(decisionKey);
    if (decision === "open") return next(request);
    if (decision === undefined) throw new WeirError("INTERNAL", "Cannot serve request: it did not come by the gate");
    if ("refusal" in decision) throw decision.refusal;
    const { access, rule } = decision;
    const check = (message: Message) => access.requireRequest(rule.readScope(message));
    if (!request.stream) {
      check(request.message);
      return next(request);
    }
    return next({ ...request, message: checkEach(request.message, check) });
  };
}

async function* checkEach<T extends Message>(messages: AsyncIterable<T>, check: (message: T) => void) {
  for await (const message of messages) {
    check(message);
    yield message;
  }
}

function open(): Admission {
  return { values: createContextValues().set(decisionKey, "open") };
}

function decided(decision: Exclude<Decision, "open">): Admission {
  const values = createContextValues().set(decisionKey, decision);
  if ("refusal" in decision) return { values, refusal: decision.refusal };
  return { values: values.set(accessKey, decision.access) };
}
