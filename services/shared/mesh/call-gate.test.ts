// Every RPC of operators and services × every role, organisation and environment, and × every service: asked over the wire of a real server.
// The RPCs are found in gen/, so that one that comes to be is asked here without another line.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { Duplex } from "node:stream";
import { gzipSync } from "node:zlib";
import { create, type DescMethod, type DescService, getOption, hasOption, type Message } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, type ServiceImpl, type Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PermissionSchema } from "../../../gen/weir/type/v1/permission_pb.ts";
import { Reach, reach, Scope, scope } from "../../../gen/weir/type/v1/scope_pb.ts";
import type { Identity } from "../authority/identity.ts";
import type { RoleName } from "../authority/roles.ts";
import { WeirError } from "../errors/weir-error.ts";
import { createLog } from "../telemetry/log.ts";
import { createCallGate } from "./call-gate.ts";
import { Health } from "./health.ts";
import { findPermission } from "./permission.ts";
import { type MeshServer, startMeshServer } from "./server.ts";

/** What each role is for, said once more and apart from the code. */
const ROLES: Readonly<Record<RoleName, readonly string[]>> = {
  VIEWER: ["POLICY_READ", "KEY_READ", "SPEND_READ"],
  EDITOR: ["POLICY_READ", "KEY_READ", "SPEND_READ", "POLICY_CHECK"],
  PUBLISHER: ["POLICY_READ", "KEY_READ", "SPEND_READ", "POLICY_CHECK", "POLICY_WRITE"],
  KEY_MANAGER: ["POLICY_READ", "KEY_READ", "KEY_WRITE"],
  AUDITOR: ["POLICY_READ", "KEY_READ", "SPEND_READ", "AUDIT_READ", "CREDENTIAL_READ"],
  CREDENTIAL_MANAGER: ["POLICY_READ", "CREDENTIAL_READ", "CREDENTIAL_WRITE"],
};

const SERVICES: Readonly<Record<string, readonly string[]>> = {
  router: ["SNAPSHOT_WATCH", "SNAPSHOT_REPORT", "INTAKE_READ", "CREDENTIAL_WATCH"],
  policy: ["INTAKE_READ"],
  metering: [],
  audit: [],
};

/** Where a role may hold, and whether that reaches "acme" and the whole of it. */
const PLACES = [
  { organisation: "*", environment: "", hasMesh: true, hasAcme: true, isIntoAcme: true },
  { organisation: "acme", environment: "", hasMesh: false, hasAcme: true, isIntoAcme: true },
  { organisation: "acme", environment: "staging", hasMesh: false, hasAcme: false, isIntoAcme: true },
  { organisation: "other", environment: "", hasMesh: false, hasAcme: false, isIntoAcme: false },
] as const;

const services = await findServices();
/** Those that are for callers' keys, and what is public, are served elsewhere. */
const methods = services
  .flatMap((service) => service.methods)
  .filter((method) => !["CHAT", "EMBED", "PUBLIC"].includes(permissionOf(method)));
const identities = new Map<string, Identity>();
let server: MeshServer;
let transport: Transport;

beforeAll(async () => {
  server = await startMeshServer({
    listen: { host: "127.0.0.1", port: 0 },
    authority: {
      identify: ({ authorization = "" }) => identities.get(authorization) ?? { kind: "stranger" },
    },
    services,
    routes: (router) => {
      for (const service of services) router.service(service, createReached(service));
    },
    reflection: false,
    health: new Health(),
    log: createLog({ service: "test", level: "silent" }),
  });
  transport = createGrpcTransport({ baseUrl: `http://127.0.0.1:${server.address.port}` });
});

afterAll(() => server.close());

async function findServices(): Promise<DescService[]> {
  const root = join(import.meta.dirname, "../../../gen/weir");
  const files = readdirSync(root, { recursive: true, encoding: "utf8" }).filter((name) =>
    name.endsWith("_service_pb.ts"),
  );
  const modules = await Promise.all(
    files.map((name) => import(join(root, name)) as Promise<Record<string, DescService>>),
  );
  return modules.flatMap((exports) => Object.values(exports).filter(({ kind }) => kind === "service"));
}

/** Handlers that say that they were reached. */
function createReached(service: DescService): ServiceImpl<DescService> {
  const reached = () => {
    throw new ConnectError("reached", Code.DataLoss);
  };
  return Object.fromEntries(service.methods.map(({ localName }) => [localName, reached])) as never;
}

function permissionOf(method: DescMethod): string {
  const permission = findPermission(method);
  return permission === undefined ? "" : (PermissionSchema.value[permission]?.localName ?? "");
}

function fieldOf(method: DescMethod, wanted: Scope): string | undefined {
  return method.input.fields.find((field) => hasOption(field, scope) && getOption(field, scope) === wanted)?.localName;
}

/** A request of a method that touches what is given, as far as it can say so. */
function makeRequest(method: DescMethod, touched: Partial<Record<keyof typeof Scope, string>>): Message {
  const request = create(method.input) as Message & Record<string, unknown>;
  for (const [name, value] of Object.entries(touched)) {
    const field = fieldOf(method, Scope[name as keyof typeof Scope]);
    if (field !== undefined) request[field] = value;
  }
  return request;
}

/** Asks as an identity. A request that is let in is refused by its rules, or reaches its handler: both are "open". */
async function ask(method: DescMethod, identity: Identity, request: Message): Promise<"open" | "denied" | "unknown"> {
  const name = String(identities.size);
  identities.set(name, identity);
  const client = createClient(method.parent, transport) as unknown as Record<string, (...args: unknown[]) => unknown>;
  try {
    const answer = client[method.localName]?.(request, { headers: { authorization: name } });
    if (method.methodKind === "unary") await answer;
    else for await (const message of answer as AsyncIterable<unknown>) expect(message).toBeUndefined();
  } catch (error) {
    const { code, rawMessage } = ConnectError.from(error);
    if (code === Code.PermissionDenied) return "denied";
    if (code === Code.Unauthenticated) return "unknown";
    if (code === Code.InvalidArgument || rawMessage === "reached" || code === Code.Internal) return "open";
    throw error;
  }
  throw new Error("Cannot judge the answer: there should be none");
}

const isOpen = (open: boolean) => (open ? "open" : "denied");

describe.each(methods.map((method) => [`${method.parent.typeName}/${method.name}`, method] as const))(
  "S1: %s",
  (_, method) => {
    const permission = permissionOf(method);
    const names = fieldOf(method, Scope.ORGANISATION) ?? fieldOf(method, Scope.TENANT);
    const reaches = hasOption(method, reach) ? getOption(method, reach) : Reach.UNSPECIFIED;

    it("is open to the roles for it, where they hold", async () => {
      for (const [role, permissions] of Object.entries(ROLES)) {
        for (const { organisation, environment, hasMesh, hasAcme, isIntoAcme } of PLACES) {
          const request = makeRequest(method, { ORGANISATION: "acme", TENANT: "acme/web" });
          const grants = [{ role: role as RoleName, organisation, environment }];
          const isReached = (() => {
            if (reaches === Reach.ANYWHERE) return true;
            if (reaches === Reach.OBJECT) return names === undefined || isIntoAcme;
            return names === undefined ? hasMesh : hasAcme;
          })();

          const answer = await ask(method, { kind: "operator", issuer: "i", subject: "s", grants }, request);

          expect({ role, organisation, environment, answer }).toEqual({
            role,
            organisation,
            environment,
            answer: isOpen(permissions.includes(permission) && isReached),
          });
        }
      }
    });

    it("is open to services for themselves and their own region only", async () => {
      const own = { REGION: "eu", INSTANCE: "eu-1" };
      const control = { REGION: "control", INSTANCE: "policy" };
      const service = (name: string, region: string, instance: string) =>
        ({ kind: "service", service: name, region, instance }) as Identity;
      const may = (name: string) => SERVICES[name]?.includes(permission) === true;
      const asks = async (identity: Identity, touched: typeof own) =>
        await ask(method, identity, makeRequest(method, touched));

      expect(await asks(service("router", "eu", "eu-1"), own)).toBe(isOpen(may("router")));
      expect(await asks(service("router", "us", "eu-1"), own)).toBe("denied");
      expect(await asks(service("router", "eu", "eu-2"), own)).toBe("denied");
      expect(await asks(service("policy", "control", "policy-1"), control)).toBe(isOpen(may("policy")));
      expect(await asks(service("policy", "control", "policy-1"), own)).toBe("denied");
      expect(await asks(service("metering", "control", "metering-1"), control)).toBe("denied");
      expect(await asks(service("audit", "eu", "eu-1"), own)).toBe("denied");
      expect(await asks(service("audit", "control", "policy"), control)).toBe("denied");
    });

    it("is closed to strangers and to operators without a role; neighbours on loopback are no operators", async () => {
      const isForServices = Object.values(SERVICES).some((permissions) => permissions.includes(permission));
      const request = makeRequest(method, { ORGANISATION: "acme", TENANT: "acme", REGION: "eu", INSTANCE: "eu-1" });

      expect(await ask(method, { kind: "stranger" }, request)).toBe("unknown");
      expect(await ask(method, { kind: "operator", issuer: "i", subject: "s", grants: [] }, request)).toBe("denied");
      expect(await ask(method, { kind: "neighbour" }, request)).toBe(isForServices ? "open" : "unknown");
    });
  },
);

it.each(methods.filter((method) => fieldOf(method, Scope.ENVIRONMENT) !== undefined))(
  "$parent.typeName/$name is open to a role in an environment for requests that name it",
  async (method) => {
    const permission = permissionOf(method);
    const role = Object.entries(ROLES).find(([, permissions]) => permissions.includes(permission))?.[0] as RoleName;
    const grants = [{ role, organisation: "acme", environment: "staging" }];
    const asks = (name: string) =>
      ask(
        method,
        { kind: "operator", issuer: "i", subject: "s", grants },
        makeRequest(method, { ORGANISATION: "acme", ENVIRONMENT: name }),
      );

    expect([await asks("staging"), await asks("production"), await asks("")]).toEqual(["open", "denied", "denied"]);
  },
);

it("a message in the address is not unpacked, whoever asks: a few kilobytes may hold millions of values", async () => {
  const grants = [{ role: "VIEWER", organisation: "*", environment: "" }] as const;
  identities.set("viewer", { kind: "operator", issuer: "i", subject: "s", grants });
  const message = gzipSync(JSON.stringify({ organisation: "acme" })).toString("base64url");
  const query = new URLSearchParams({ connect: "v1", encoding: "json", base64: "1", compression: "gzip", message });

  const answer = await fetch(`http://127.0.0.1:${server.address.port}/weir.policy.v1.KeyService/ListKeys?${query}`, {
    headers: { authorization: "viewer" },
  });

  expect([answer.status, ((await answer.json()) as { code: string }).code]).toEqual([501, "unimplemented"]);
});

it.each([
  [
    "at once",
    (error: Error) => {
      throw error;
    },
  ],
  ["after a while", (error: Error) => Promise.reject(error)],
])("a caller of whom nobody can tell who it is, found out %s, is refused, and measured", async (_, identify) => {
  const error = new WeirError("UNAVAILABLE", "Cannot tell who asks: the issuer does not answer");
  const measured: unknown[] = [];
  const gate = createCallGate({
    authority: { identify: () => identify(error) },
    isLocal: false,
    settle: (...call) => void measured.push(call),
  });
  const method = methods.find(({ name }) => name === "ListKeys") as DescMethod;

  const decision = await gate(method, { headers: {}, socket: new Duplex() });

  expect(decision).toMatchObject({ refusal: { code: Code.Unavailable } });
  expect(measured).toEqual([["weir.policy.v1.KeyService/ListKeys", expect.any(Number), error]]);
});

describe("a stranger", () => {
  it("learns nothing of what is wrong with a body, in any protocol", async () => {
    const url = `http://127.0.0.1:${server.address.port}/weir.policy.v1.KeyService/ListKeys`;
    const asks = async (type: string, body: string) =>
      await fetch(url, { method: "POST", headers: { "content-type": type }, body });

    const json = await asks("application/json", "{ nonsense");
    const web = await asks("application/grpc-web+proto", "nonsense");
    const get = await fetch(`${url}?connect=v1&encoding=json&message=nonsense`);

    expect([json.status, ((await json.json()) as { code: string }).code]).toEqual([401, "unauthenticated"]);
    expect(await web.text()).toContain("grpc-status: 16");
    expect([get.status, ((await get.json()) as { code: string }).code]).toEqual([401, "unauthenticated"]);
  });

  it("is told the same of organisations that are there and of others", async () => {
    const method = methods.find(({ name }) => name === "ListKeys") as DescMethod;
    const grants = [{ role: "VIEWER", organisation: "acme", environment: "" }] as const;
    identities.set("viewer", { kind: "operator", issuer: "i", subject: "s", grants });
    const client = createClient(method.parent, transport) as unknown as Record<
      string,
      (...args: unknown[]) => Promise<unknown>
    >;
    const messageOf = (organisation: string) =>
      client
        .listKeys?.(makeRequest(method, { ORGANISATION: organisation }), { headers: { authorization: "viewer" } })
        .then(
          () => "answered",
          (error: unknown) => ConnectError.from(error).rawMessage.replaceAll(organisation, "X"),
        );

    expect(await messageOf("other")).toBe(await messageOf("nowhere"));
  });
});
