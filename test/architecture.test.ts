/**
 * Who may import whom. The tables below are the rules of the house; the tests only read them. When a change needs another
 * line here, ask first whether the thing is in the right room.
 */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { parseAst } from "rolldown/parseAst";
import { describe, expect, it } from "vitest";

const ROOT = resolve(import.meta.dirname, "..");

/** Each outside thing has one door: the package on the left is imported only below the paths on the right. */
const DOORS: Record<string, readonly string[]> = {
  "@connectrpc/connect-node": ["services/shared/mesh/"],
  "@grpc/grpc-js": ["services/shared/mesh/"],
  "@hpke/core": ["services/shared/credential/"],
  nats: ["services/shared/bus/"],
  pg: ["services/shared/database/"],
  "node-pg-migrate": ["services/shared/database/"],
  pino: ["services/shared/telemetry/"],
  "prom-client": ["services/shared/telemetry/"],
  undici: ["services/router/dispatch/"],
  aws4: ["services/router/providers/bedrock/"],
  "@smithy/core": ["services/router/providers/bedrock/"],
  "gpt-tokenizer": ["services/router/counting/"],
  "@bufbuild/cel": ["services/shared/condition/"],
  "@bufbuild/re2": ["services/shared/condition/"],
  yaml: ["cli/", "services/shared/authority/"],
  jose: ["services/shared/authority/"],
  "@peculiar/x509": ["cli/certificates/"],
  commander: ["cli/"],
  openai: ["cli/demo/"],
  "openid-client": ["cli/session/"],
  wabt: ["services/router/providers/skip-string/"],
};

/** Rooms that take values and the instant and touch nothing: no outside thing, no clock, no other room than these and gen. */
const PURE_ROOMS = [
  "services/shared/money/",
  "services/shared/condition/",
  "services/shared/decision/",
  "services/shared/validation/",
  "services/audit/merkle/",
  "services/metering/ledger/",
  "services/metering/rating/",
  "services/policy/compilation/",
  "services/policy/comparison/",
  "services/policy/rollout/",
  "services/router/admission/limit.ts",
  "services/router/ejection/standing.ts",
] as const;

/** What a pure room may import besides itself and other pure rooms. */
const PURE_MAY_IMPORT = [
  "gen/",
  "services/shared/errors/",
  "services/shared/snapshot/digest.ts",
  "services/router/routing/",
  "services/router/providers/fault.ts",
  "@bufbuild/protobuf",
  "@bufbuild/protovalidate",
  "@bufbuild/cel",
  "@bufbuild/re2",
  "node:crypto",
  "node:buffer",
  "node:net",
] as const;

/**
 * The rooms of each service, upstream first: a room imports itself and the rooms above it, never one below. The spine, the
 * `*-service.ts` files, `config.ts` and `main.ts` stand at the service's root and see all rooms.
 */
const ROOMS: Record<string, readonly string[]> = {
  router: [
    "admission",
    "credentials",
    "providers",
    "routing",
    "ejection",
    "arrival",
    "rpc",
    "counting",
    "dispatch",
    "accounting",
  ],
  policy: ["compilation", "comparison", "rollout", "keys", "offloading", "store", "distribution"],
  metering: ["rating", "ledger", "store"],
  audit: ["merkle", "verification", "store", "log"],
};

/** What the command line may know of a service: nothing but the verifier, which is made to be carried away. */
const CLI_MAY_IMPORT = ["cli/", "gen/", "services/shared/", "services/audit/verification/"] as const;

interface SourceFile {
  readonly path: string;
  readonly text: string;
  readonly imports: readonly Import[];
}

interface Import {
  /** A path from the root for our own files, else the name of the package with what follows it. */
  readonly target: string;
  readonly typeOnly: boolean;
}

function listSources(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && /\.ts$/.test(entry.name))
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)))
    .filter((path) => !path.includes("node_modules/"));
}

function readImports(path: string, text: string): Import[] {
  const imports: Import[] = [];
  const visit = (node: unknown): void => {
    if (Array.isArray(node)) {
      for (const item of node) visit(item);
      return;
    }
    if (node === null || typeof node !== "object") return;
    const record = node as Record<string, unknown>;
    const source = record.source as { value?: unknown } | null | undefined;
    if (/^(Import|Export)/.test(String(record.type)) && typeof source?.value === "string") {
      const specifier = source.value;
      imports.push({
        target: specifier.startsWith(".") ? relative(ROOT, resolve(ROOT, dirname(path), specifier)) : specifier,
        typeOnly: record.importKind === "type" || record.exportKind === "type",
      });
    }
    for (const value of Object.values(record)) visit(value);
  };
  visit(parseAst(text, { lang: "ts" }, path));
  return imports;
}

const sources: SourceFile[] = ["cli", "services", "test", "proto"].flatMap(listSources).map((path) => {
  const text = readFileSync(join(ROOT, path), "utf8");
  return { path, text, imports: readImports(path, text) };
});
const isTest = (path: string): boolean => /\.(test|fixture)\.ts$/.test(path) || path.startsWith("test/");
const product = sources.filter(({ path }) => !isTest(path));

/** Every import of the product files that `forbidden` objects to, as "file → target: why". */
function findOffences(
  files: readonly SourceFile[],
  forbidden: (file: SourceFile, target: Import) => string | undefined,
) {
  return files.flatMap((file) =>
    file.imports.flatMap((target) => {
      const why = forbidden(file, target);
      return why === undefined ? [] : [`${file.path} → ${target.target}: ${why}`];
    }),
  );
}

/** The service that a path belongs to, or undefined for shared and all that is no service. */
function serviceOf(path: string): string | undefined {
  const name = /^services\/([^/]+)\//.exec(path)?.[1];
  return name === "shared" ? undefined : name;
}

describe("architecture", () => {
  it("a service never imports another service", () => {
    const offences = findOffences(product, ({ path }, { target }) => {
      const own = serviceOf(path);
      const other = serviceOf(target);
      return own !== undefined && other !== undefined && own !== other ? "speak through proto/ instead" : undefined;
    });
    expect(offences).toEqual([]);
  });

  it("what all services stand on knows none of them", () => {
    const shared = product.filter(({ path }) => path.startsWith("services/shared/"));
    const offences = findOffences(shared, ({ path }, { target }) =>
      target.startsWith("services/shared/") || target.startsWith("gen/") || !/^(services|cli|test|proto)\//.test(target)
        ? undefined
        : `${path} may import shared and gen only`,
    );
    expect(offences).toEqual([]);
  });

  it("a room imports itself and the rooms upstream of it", () => {
    const offences = findOffences(product, ({ path }, { target }) => {
      const service = serviceOf(path);
      if (service === undefined || serviceOf(target) !== service) return undefined;
      const rooms = ROOMS[service] ?? [];
      const [, , from, ...below] = path.split("/");
      const to = target.split("/")[2] as string;
      if (below.length === 0) return undefined;
      if (!rooms.includes(from as string)) return `room "${from}" is not in the table`;
      if (!rooms.includes(to))
        return to.includes(".") ? "a room does not know the spine" : `room "${to}" is not in the table`;
      return rooms.indexOf(to) <= rooms.indexOf(from as string) ? undefined : `"${to}" is downstream of "${from}"`;
    });
    expect(offences).toEqual([]);
  });

  it("nothing imports a main.ts", () => {
    expect(
      findOffences(sources, (_, { target }) => (target.endsWith("/main.ts") ? "a main builds" : undefined)),
    ).toEqual([]);
  });

  it("the command line knows gen, shared and the verifier", () => {
    const cli = product.filter(({ path }) => path.startsWith("cli/"));
    const offences = findOffences(cli, (_, { target }) =>
      /^(services|test|proto)\//.test(target) && !CLI_MAY_IMPORT.some((allowed) => target.startsWith(allowed))
        ? "not for the command line"
        : undefined,
    );
    expect(offences).toEqual([]);
  });

  it("each outside thing is imported through its one door", () => {
    const offences = findOffences(product, ({ path }, { target }) => {
      const name = target.startsWith("@") ? target.split("/").slice(0, 2).join("/") : (target.split("/")[0] as string);
      const door = DOORS[name];
      return door === undefined || door.some((allowed) => path.startsWith(allowed))
        ? undefined
        : `door is ${door.join(", ")}`;
    });
    expect(offences).toEqual([]);
  });

  it("pure rooms touch nothing", () => {
    const pure = product.filter(({ path }) => PURE_ROOMS.some((room) => path.startsWith(room)));
    const offences = findOffences(pure, (_, { target }) =>
      [...PURE_ROOMS, ...PURE_MAY_IMPORT].some((allowed) => target.startsWith(allowed)) ? undefined : "not pure",
    );
    const impure = pure.filter(({ text }) =>
      /\b(Date\.now|Math\.random|performance\.now|process\.|setTimeout)\b/.test(text),
    );
    expect([...offences, ...impure.map(({ path }) => path)]).toEqual([]);
  });

  it("time and chance come through clock.ts and ids.ts", () => {
    const doors = ["services/shared/clock.ts", "services/shared/ids.ts"];
    const offenders = product
      .filter(
        ({ path, text }) =>
          path.startsWith("services/") &&
          !doors.includes(path) &&
          /\b(Date\.now\(|Math\.random\(|new Date\(\))/.test(text),
      )
      .map(({ path }) => path);
    expect(offenders).toEqual([]);
  });

  it("the environment is read where settings are made", () => {
    const offenders = product
      .filter(
        ({ path, text }) =>
          path.startsWith("services/") &&
          !/\/(main|config)\.ts$|^services\/shared\/process\.ts$/.test(path) &&
          /\bprocess\.env\b/.test(text),
      )
      .map(({ path }) => path);
    expect(offenders).toEqual([]);
  });

  it("SQL stands in store/ and in shared/database", () => {
    const offenders = product
      .filter(({ path }) => path.startsWith("services/") && !/\/store\/|^services\/shared\/database\//.test(path))
      .filter(({ text }) =>
        /\.query\(|\b(INSERT INTO|SELECT .* FROM|DELETE FROM)\b/i.test(text.replaceAll(/^\s*(\*|\/\/).*$/gm, "")),
      )
      .map(({ path }) => path);
    expect(offenders).toEqual([]);
  });

  it("no file imports itself by way of others", () => {
    const byPath = new Map(product.map((file) => [file.path, file]));
    const done = new Set<string>();
    const cycles: string[] = [];
    const walk = (path: string, trail: readonly string[]): void => {
      if (trail.includes(path)) cycles.push([...trail.slice(trail.indexOf(path)), path].join(" → "));
      if (done.has(path) || trail.includes(path)) return;
      for (const { target, typeOnly } of byPath.get(path)?.imports ?? []) if (!typeOnly) walk(target, [...trail, path]);
      done.add(path);
    };
    for (const { path } of product) walk(path, []);
    expect(cycles).toEqual([]);
  });
});
