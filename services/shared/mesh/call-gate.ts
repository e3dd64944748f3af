import type { IncomingHttpHeaders } from "node:http";
import type { Duplex } from "node:stream";
import type { DescMethod, Message } from "@bufbuild/protobuf";
import {
  type ConnectError,
  type ContextValues,
  createContextKey,
  createContextValues,
  type HandlerContext,
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

/** The head of a request: all that the gate looks at. */
export interface RequestHead {
  readonly headers: IncomingHttpHeaders;
  readonly socket: Duplex;
}

/** What the gate decides of a call: it is refused, open to anyone, or held against what its caller may do; see {@link checkRequest}. */
export type Decision =
  | { readonly refusal: ConnectError }
  | "open"
  | { readonly access: Access; readonly rule: MethodRule };

/**
 * Decides by the head of a request whether a call may be made at all. Never throws or rejects. `judgeCaller` says what is wrong with the key
 * of a caller, if anything, where the RPC itself would say so only when its message is read.
 */
export type CallGate = (
  method: DescMethod,
  request: RequestHead,
  judgeCaller?: () => WeirError | undefined,
) => Decision | Promise<Decision>;

/** Absent when a call did not come by the gate, which is a bug. */
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

  return (method, request, judgeCaller) => {
    if (OPEN_SERVICES.test(method.parent.typeName)) return "open";
    const rule = ruleOf(method);
    if (rule.holders.anyone) return "open";
    const beganMs = performance.now();
    const refuse = (error: unknown): Decision => {
      // Of a unary call the library reads the message before any interceptor runs, so that none would measure it.
      const refusal = method.methodKind === "unary" ? settle(rule.method, beganMs, error) : undefined;
      return { refusal: refusal ?? toConnectError(error) };
    };
    // A caller's key stands in the same header as an operator's token.
    if (rule.holders.keys) {
      const wrong = judgeCaller?.();
      return wrong === undefined ? "open" : refuse(wrong);
    }
    const admit = (identity: Identity): Decision => {
      const access = new Access(identity, rule);
      return access.isHeld ? { access, rule } : refuse(access.explainRefusal());
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
    if (decision === undefined) throw new WeirError("INTERNAL", "Cannot serve request: it did not come by the gate");
    if (decision === "open") return next(request);
    if ("refusal" in decision) throw decision.refusal;
    const check = (message: Message) => checkRequest(decision, message);
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

/** Refuses a request that goes beyond what its caller may do, by the fields that say what it touches. */
export function checkRequest(decision: Exclude<Decision, { readonly refusal: ConnectError }>, message: Message): void {
  if (decision !== "open") decision.access.requireRequest(decision.rule.readScope(message));
}

/** What the RPC library is to carry through a call: what was decided for the gate's interceptor, and the access for the handler. */
export function toContextValues(decision: Decision): ContextValues {
  const values = createContextValues().set(decisionKey, decision);
  return decision === "open" || "refusal" in decision ? values : values.set(accessKey, decision.access);
}

/** Refuses a unary call that the gate refused, before the library reads its message, wherever that stands. */
export function refuseUnread({ values, method }: HandlerContext): void {
  const decision = values.get(decisionKey);
  if (method.methodKind !== "unary" || decision === undefined || decision === "open") return;
  if ("refusal" in decision) throw decision.refusal;
}
