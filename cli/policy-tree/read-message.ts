import {
  type DescEnum,
  type DescField,
  type DescMessage,
  fromJson,
  type JsonObject,
  type JsonValue,
  ScalarType,
} from "@bufbuild/protobuf";
import type { Report } from "./finding.ts";
import type { Entry, MapNode, Node } from "./node.ts";
import type { Place } from "./place.ts";
import { findNearest } from "./suggest.ts";

/** Most values of a policy: a hundred times what a large one has. Aliases count as what they stand for. */
const MAX_VALUES = 300_000;

/** A message as it was read. */
export interface MessageReading {
  /** Proto JSON that `fromJson` takes: what did not fit its field is left out; an item of a list that did not fit is an empty one. */
  readonly json: JsonObject;
  /** Where each field stands, by its path in names of the proto: "models[2].routes[0].target". */
  readonly places: ReadonlyMap<string, Place>;
}

/**
 * Reads nodes as a message in the form of proto JSON, and reports everything that does not fit it: unknown and repeated fields, misspelt
 * names of enums, values of a wrong type, fields without a value.
 */
export function readMessage(desc: DescMessage, root: MapNode, report: Report): MessageReading {
  const reader = new MessageReader(report);
  const json = reader.readFields(desc, root, "");
  return { json, places: reader.places };
}

class MessageReader {
  readonly places = new Map<string, Place>();
  readonly #report: Report;
  #values = 0;

  constructor(report: Report) {
    this.#report = report;
  }

  readFields(desc: DescMessage, node: MapNode, path: string): JsonObject {
    const json: JsonObject = {};
    const seen = new Map<string, Place>();
    for (const entry of node.entries) {
      const field = findField(desc, entry.name);
      const at = path === "" ? (field?.name ?? entry.name) : `${path}.${field?.name ?? entry.name}`;
      if (field === undefined) {
        this.#report(entry.place, at, "FIELD_UNKNOWN", describeUnknown(desc, entry.name));
        continue;
      }
      // Members of a oneof exclude each other as a field excludes itself.
      const slot = field.oneof?.name ?? field.name;
      const first = seen.get(slot);
      if (first !== undefined) {
        const where = `${first.file} on line ${first.line}`;
        const message = field.oneof === undefined ? `Is given in ${where} already` : `Excludes what ${where} says`;
        this.#report(entry.place, at, "FIELD_TWICE", `${message}; give one of them`);
        continue;
      }
      seen.set(slot, entry.place);
      const value = this.#readField(field, entry, at);
      if (value !== undefined) json[field.jsonName] = value;
    }
    return json;
  }

  #readField(field: DescField, { place, value: node }: Entry, path: string): JsonValue | undefined {
    this.places.set(path, node.kind === "scalar" ? node.place : place);
    if (!this.#count(node, path)) return undefined;
    if (node.kind === "scalar" && node.value === null) {
      this.#report(place, path, "VALUE_MISSING", "Has no value; give it one, or leave the field out");
      return undefined;
    }
    switch (field.fieldKind) {
      case "list":
        return this.#readList(field, node, path);
      case "map":
        return this.#readMap(field, node, path);
      case "message":
        return this.#readMessage(field.message, node, path);
      default:
        return this.#readLeaf(field, node, path, (value) => value);
    }
  }

  #readList(field: DescField & { fieldKind: "list" }, node: Node, path: string): JsonValue | undefined {
    if (node.kind !== "list") {
      this.#report(node.place, path, "TYPE_WRONG", 'Must be a list: items that begin with "- ", or [in, brackets]');
      return undefined;
    }
    const items: JsonValue[] = [];
    for (const [index, item] of node.items.entries()) {
      const at = `${path}[${index}]`;
      this.places.set(at, item.place);
      if (!this.#count(item, at)) break;
      if (field.listKind === "message") items.push(this.#readMessage(field.message, item, at) ?? {});
      else {
        const value = this.#readLeaf(field, item, at, (leaf) => [leaf]);
        if (value !== undefined) items.push(value);
      }
    }
    return items;
  }

  #readMap(field: DescField & { fieldKind: "map" }, node: Node, path: string): JsonValue | undefined {
    if (node.kind !== "map") {
      this.#report(node.place, path, "TYPE_WRONG", 'Must be names with values, such as "name: value"');
      return undefined;
    }
    const pairs: [string, JsonValue][] = [];
    for (const { name, value } of node.entries) {
      const at = `${path}[${JSON.stringify(name)}]`;
      this.places.set(at, value.place);
      if (!this.#count(value, at)) break;
      const read =
        field.mapKind === "message"
          ? this.#readMessage(field.message, value, at)
          : this.#readLeaf(field, value, at, (leaf) => ({ [name]: leaf }));
      if (read !== undefined) pairs.push([name, read]);
    }
    return Object.fromEntries(pairs);
  }

  #readMessage(desc: DescMessage, node: Node, path: string): JsonValue | undefined {
    // Durations and their like are a text in JSON. What else stands there is not looked into: aliases may make anything of it.
    if (desc.typeName.startsWith("google.protobuf.")) {
      if (node.kind === "scalar" && isAccepted(() => fromJson(desc, node.value))) return node.value;
      this.#report(node.place, path, "TYPE_WRONG", describeWellKnown(desc));
      return undefined;
    }
    if (node.kind === "map") return this.readFields(desc, node, path);
    const names = desc.fields.slice(0, 3).map(({ jsonName }) => jsonName);
    this.#report(node.place, path, "TYPE_WRONG", `Must be a map of fields: ${names.join(", ")}, …`);
    return undefined;
  }

  /** Reads a scalar or an enum. The library says whether it fits: `wrap` makes of it what the field takes. */
  #readLeaf(field: DescField, node: Node, path: string, wrap: (leaf: JsonValue) => JsonValue): JsonValue | undefined {
    const value = node.kind === "scalar" ? node.value : undefined;
    // Most of a policy is text, for which there is nothing to ask.
    if (
      typeof value === "string" &&
      field.scalar === ScalarType.STRING &&
      value.isWellFormed() &&
      !value.includes("\0")
    ) {
      return value;
    }
    if (typeof value === "string" && value.includes("\0")) {
      // No request may hold it, so policy could not say where it stands.
      this.#report(node.place, path, "TEXT_CONTROL", "Must not hold control characters");
      return undefined;
    }
    const isExact = typeof value !== "number" || !Number.isInteger(value) || Number.isSafeInteger(value);
    const isText = typeof value !== "string" || value.isWellFormed();
    if (value !== undefined && value !== null && isExact && isText) {
      if (isAccepted(() => fromJson(field.parent, { [field.jsonName]: wrap(value) }))) return value;
    }
    const rule = field.enum === undefined ? "TYPE_WRONG" : "ENUM_UNKNOWN";
    this.#report(node.place, path, rule, describeLeaf(field, value));
    return undefined;
  }

  #count({ place }: Node, path: string): boolean {
    this.#values += 1;
    if (this.#values === MAX_VALUES + 1) {
      const message = `A policy has at most ${MAX_VALUES} values, those that aliases repeat among them`;
      this.#report(place, path, "TREE_TOO_LARGE", message);
    }
    return this.#values <= MAX_VALUES;
  }
}

const fieldsByName = new WeakMap<DescMessage, ReadonlyMap<string, DescField>>();

/** A field by either of its names: "baseUrl", or "base_url" as in the proto. */
function findField(desc: DescMessage, name: string): DescField | undefined {
  let fields = fieldsByName.get(desc);
  if (fields === undefined) {
    fields = new Map(
      desc.fields.flatMap((field) => [field.name, field.jsonName].map((each) => [each, field] as const)),
    );
    fieldsByName.set(desc, fields);
  }
  return fields.get(name);
}

function isAccepted(read: () => unknown): boolean {
  try {
    read();
    return true;
  } catch {
    return false;
  }
}

function describeUnknown(desc: DescMessage, name: string): string {
  if (name === "<<") return "Merge keys are no part of YAML 1.2: repeat the fields, or give the whole value an anchor";
  const known = desc.fields.map(({ jsonName }) => jsonName);
  const nearest = findNearest(name, known);
  const hint = nearest === undefined ? `there are ${known.join(", ")}` : `did you mean "${nearest}"?`;
  return `${desc.name} has no field "${name}"; ${hint}`;
}

function describeLeaf(field: DescField, value: unknown): string {
  if (field.enum !== undefined) return describeEnum(field.enum, value);
  switch (field.scalar) {
    case ScalarType.STRING:
      return typeof value === "number" || typeof value === "boolean"
        ? `Must be text: write it in quotes, "${value}", so that it stays as it is`
        : "Must be text of whole Unicode characters";
    case ScalarType.BOOL:
      return "Must be true or false";
    case ScalarType.BYTES:
      return "Must be base64";
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return "Must be a number";
    default:
      return "Must be a whole number that its field can hold, such as 600";
  }
}

function describeEnum(desc: DescEnum, value: unknown): string {
  // The first one is "nothing was said".
  const known = desc.values.filter(({ number }) => number !== 0).map(({ name }) => name);
  const prefix = desc.sharedPrefix?.toUpperCase() ?? "";
  const word = String(value);
  const nearest = findNearest(word, known) ?? findNearest(`${prefix}${word}`, known);
  return nearest === undefined ? `Must be one of ${known.join(", ")}` : `Did you mean ${nearest}?`;
}

function describeWellKnown({ name }: DescMessage): string {
  if (name === "Duration") return 'Must be a duration in seconds, such as "5s" or "0.25s"';
  if (name === "Timestamp") return 'Must be an instant, such as "2026-11-28T12:00:00Z"';
  return `Must be a ${name} in the form of proto JSON`;
}
