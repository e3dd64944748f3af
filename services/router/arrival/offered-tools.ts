import type { JsonObject } from "@bufbuild/protobuf";
import { BodyScan } from "./body-scan.ts";
import type { ChatCall } from "./call.ts";
import { invalid } from "./invalid.ts";

/** The members by which any format offers tools to a model, or names what may bring some. */
const MEMBERS = ["tools", "functions", "mcp_servers", "web_search_options", "prompt"] as const;
const scan = new BodyScan(MEMBERS);

/**
 * The names of the tools that a request offers to a model: a function's or custom tool's own, an MCP server's, else the type of the
 * tool, and the name of a member that offers one by itself. For keys whose tools are limited only: it parses what the relay does not.
 * Throws ARGUMENT_INVALID for what its provider might read otherwise than this does.
 */
export function listOfferedTools(request: ChatCall["request"]): string[] {
  if (request.format !== undefined) return collect(scan.readBody(request.bytes, readMembers));
  const { input } = request;
  // Embeddings have no tools.
  if (!("tools" in input)) return [];
  const given = input.tools.map(({ name, extras }, index) => {
    for (const member of ["name", "function", "custom"]) {
      if (extras !== undefined && Object.hasOwn(extras, member)) {
        throw invalid(`tools[${index}].extras.${member}`, "must not be there, since the key's tools are limited");
      }
    }
    return name;
  });
  return [...given, ...collect(input.extras ?? {})];
}

function readMembers(bytes: Buffer): JsonObject {
  const found: JsonObject = {};
  MEMBERS.forEach((name, member) => {
    if (scan.isAbsent(member)) return;
    const text = bytes.toString("utf8", scan.startOf(member), scan.endOf(member));
    refuseRepeats(text, name);
    found[name] = JSON.parse(text);
  });
  return found;
}

function collect(body: JsonObject): string[] {
  const names: string[] = [];
  for (const list of ["tools", "functions", "mcp_servers"] as const) {
    const offered = body[list];
    if (offered === undefined || offered === null) continue;
    if (!Array.isArray(offered)) throw invalid(list, "must be a list");
    // A function of the older form has a name and no type; one without either is nobody's tool, and in no scope.
    names.push(...offered.map(toName));
  }
  if (isSaid(body.web_search_options)) names.push("web_search");
  // A stored prompt may bring tools that nobody sees here.
  if (isSaid(body.prompt)) names.push("prompt");
  return names;
}

function toName(tool: unknown): string {
  const { name, type, function: called, custom } = (tool ?? {}) as Record<string, unknown>;
  const own = (called as JsonObject | undefined)?.name ?? (custom as JsonObject | undefined)?.name ?? name;
  if (typeof own === "string") return own;
  return typeof type === "string" && type !== "function" && type !== "custom" ? type : "";
}

function isSaid(value: unknown): boolean {
  return value !== undefined && value !== null;
}

/** How deep names stand: in a tool of the list, and in its function. Below that are schemas, whose members are anybody's. */
const NAME_DEPTH = 3;
const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s"{}[\],:]+/g;

/** Refuses a member that is there twice, or once more in other case: which one counts is its reader's choice. */
function refuseRepeats(json: string, field: string): void {
  const open: (Set<string> | undefined)[] = [];
  let before = "";
  for (const [token] of json.matchAll(TOKEN)) {
    const members = open.length <= NAME_DEPTH ? open.at(-1) : undefined;
    if (members !== undefined && token.startsWith('"') && (before === "{" || before === ",")) {
      const name = (JSON.parse(token) as string).toLowerCase();
      if (members.has(name)) throw invalid(field, `must not have a member twice: "${name}"`);
      members.add(name);
    }
    if (token === "{") open.push(new Set());
    else if (token === "[") open.push(undefined);
    else if (token === "}" || token === "]") open.pop();
    before = token;
  }
}
