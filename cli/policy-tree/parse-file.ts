import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type ParsedNode,
  parseDocument,
  type Scalar,
  type YAMLMap,
} from "yaml";
import type { Report } from "./finding.ts";
import type { PolicyFile } from "./list-files.ts";
import type { Entry, MapNode, Node, ScalarNode } from "./node.ts";
import type { Place } from "./place.ts";

/** More than any policy nests, and little enough for the stack. */
const MAX_DEPTH = 64;

/**
 * Parses a file (YAML 1.2, of which JSON is a part) into nodes with places. All that is wrong with it is reported; then there is no node. A
 * file without content is an empty map.
 */
export function parseFile({ file, text }: PolicyFile, report: Report): MapNode | undefined {
  const lines = new LineCounter();
  const document = parseDocument(text, {
    strict: true,
    // Looks at each pair of names: quadratic, so the reader below does it.
    uniqueKeys: false,
    prettyErrors: false,
    // "silent" would hide a second document too.
    logLevel: "error",
    lineCounter: lines,
  });
  const { version } = document.directives.yaml;
  if (version !== "1.2") {
    // There "no" is false, 012 is ten and 12:30 is 750.
    report({ file, line: 1, column: 1 }, "", "YAML_INVALID", `Must be YAML 1.2: take out "%YAML ${version}"`);
    return undefined;
  }
  // A warning is something that was read otherwise than it was meant, such as an unknown tag.
  const problems = [...document.errors, ...document.warnings];
  if (problems.length > 0) {
    for (const { code, message, pos } of problems) {
      report(toPlace(file, lines, pos[0]), "", "YAML_INVALID", describe(code, message));
    }
    return undefined;
  }
  if (document.contents === null) return { kind: "map", place: { file }, entries: [] };
  const reader = new NodeReader(file, lines, report);
  const node = reader.read(document.contents, 0);
  if (reader.hasFailed || node === undefined) return undefined;
  if (node.kind === "map") return node;
  // A file of comments alone, or one whose only content is null.
  if (node.kind === "scalar" && node.value === null) return { kind: "map", place: node.place, entries: [] };
  report(node.place, "", "TYPE_WRONG", 'Must be a map of fields, such as "models:"');
  return undefined;
}

class NodeReader {
  readonly #file: string;
  readonly #lines: LineCounter;
  readonly #report: Report;
  // An alias means the node that last had its name. Nodes are shared, not copied: what a bomb expands to is for their reader to count.
  readonly #anchors = new Map<string, Node | undefined>();
  #hasFailed = false;

  constructor(file: string, lines: LineCounter, report: Report) {
    this.#file = file;
    this.#lines = lines;
    this.#report = report;
  }

  get hasFailed(): boolean {
    return this.#hasFailed;
  }

  read(node: ParsedNode | null, depth: number): Node | undefined {
    const place = this.#place(node?.range[0] ?? 0);
    if (depth > MAX_DEPTH) return this.#fail(place, "TREE_TOO_DEEP", `Values may be nested ${MAX_DEPTH} deep`);
    if (isAlias(node)) {
      const target = this.#anchors.get(node.source);
      const message = `"*${node.source}" must follow the "&${node.source}" that it names, and not stand inside of it`;
      return target ?? this.#fail(place, "YAML_INVALID", message);
    }
    const anchor = node?.anchor;
    if (anchor !== undefined) this.#anchors.set(anchor, undefined);
    const read = this.#readValue(node, place, depth);
    if (anchor !== undefined) this.#anchors.set(anchor, read);
    return read;
  }

  #readValue(node: ParsedNode | null, place: Place, depth: number): Node {
    if (isMap(node)) return this.#readMap(node as YAMLMap.Parsed, place, depth);
    if (isSeq(node)) {
      const items = node.items.flatMap((item) => this.read(item as ParsedNode, depth + 1) ?? []);
      return { kind: "list", place, items };
    }
    return { kind: "scalar", place, value: ((node as Scalar | null)?.value ?? null) as ScalarNode["value"] };
  }

  #readMap(map: YAMLMap.Parsed, place: Place, depth: number): Node {
    const entries: Entry[] = [];
    const places = new Map<string, Place>();
    for (const { key, value } of map.items) {
      const at = this.#place(key?.range?.[0] ?? 0);
      if (!isScalar(key) || key.value === null) {
        this.#fail(at, "YAML_INVALID", "A name must be text");
        continue;
      }
      const name = typeof key.value === "string" ? key.value : (key.source ?? String(key.value));
      if (!name.isWellFormed()) {
        this.#fail(at, "YAML_INVALID", "A name must be text of whole Unicode characters");
        continue;
      }
      const first = places.get(name);
      if (first !== undefined) {
        this.#fail(at, "FIELD_TWICE", `"${name}" is there already, on line ${first.line}; give it once`);
        continue;
      }
      places.set(name, at);
      // `name` alone, without a colon, in a flow map has no value.
      const read = value === null ? ({ kind: "scalar", place: at, value: null } as const) : this.read(value, depth + 1);
      if (read !== undefined) entries.push({ name, place: at, value: read });
    }
    return { kind: "map", place, entries };
  }

  #fail(place: Place, rule: string, message: string): undefined {
    this.#hasFailed = true;
    this.#report(place, "", rule, message);
    return undefined;
  }

  #place(offset: number): Place {
    return toPlace(this.#file, this.#lines, offset);
  }
}

function toPlace(file: string, lines: LineCounter, offset: number): Place {
  const { line, col } = lines.linePos(offset);
  return { file, line: Math.max(1, line), column: Math.max(1, col) };
}

/** The parser's message, in our words where it speaks to those who call it instead of those who wrote the file. */
function describe(code: string, message: string): string {
  if (code === "MULTIPLE_DOCS") return 'A file must hold one document; put what follows "---" into a file of its own';
  // The second is what a regular expression of the parser says of a full stack.
  if (/^Maximum call stack|: Stack overflow$/.test(message)) return `Values may be nested ${MAX_DEPTH} deep`;
  return message;
}
