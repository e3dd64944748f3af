import {
  type DescField,
  type DescMessage,
  getOption,
  isFieldSet,
  type Message,
  type MessageShape,
  ScalarType,
} from "@bufbuild/protobuf";
import { type Duration, StructSchema } from "@bufbuild/protobuf/wkt";
import {
  type BytesRules,
  BytesRulesSchema,
  type DoubleRules,
  DoubleRulesSchema,
  type DurationRules,
  DurationRulesSchema,
  type EnumRules,
  EnumRulesSchema,
  type FieldRules,
  FieldRulesSchema,
  field as fieldOption,
  type Int32Rules,
  Int32RulesSchema,
  type Int64Rules,
  Int64RulesSchema,
  MapRulesSchema,
  MessageRulesSchema,
  message as messageOption,
  oneof as oneofOption,
  type RepeatedRules,
  RepeatedRulesSchema,
  type StringRules,
  StringRulesSchema,
} from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";

/** Tells whether a value keeps the rules that it was compiled from. */
type Check = (value: unknown) => boolean;
/** A message as code that knows only its descriptor sees it. */
type Fields = Readonly<Record<string, unknown>>;

/**
 * Compiles the validation rules of a message, as its proto has them, into one function that says whether a message keeps
 * them: exactly what protovalidate says (`compile-rules.test.ts` holds them against each other), without reading the rules anew
 * for each message, and without words for what is wrong. For facts that come by the ten thousand; ask protovalidate about those that
 * fail. Throws RangeError for a rule that it does not know, which is found when a service starts or any of its tests runs.
 */
export function compileRules<Desc extends DescMessage>(schema: Desc): (message: MessageShape<Desc>) => boolean {
  return all(compileMessage(schema, new Map()));
}

/** The checks of the messages that are being compiled or are compiled: one may hold messages of its own kind. */
type Known = Map<DescMessage, Check[]>;

function compileMessage(schema: DescMessage, known: Known): Check[] {
  const checks: Check[] = [];
  // It stands in a message as plain JSON, and has no rules.
  if (schema.typeName === StructSchema.typeName) return checks;
  known.set(schema, checks);
  refuseOthers(schema.typeName, MessageRulesSchema, getOption(schema, messageOption), []);
  checks.push(...schema.fields.flatMap((field) => compileField(field, known) ?? []));
  for (const oneof of schema.oneofs) {
    if (!getOption(oneof, oneofOption).required) continue;
    const { localName } = oneof;
    checks.push((message) => ((message as Fields)[localName] as { case?: string }).case !== undefined);
  }
  return checks;
}

/** Rules of one kind of value, as they stand at a field and at the items of one. */
const TYPED = ["float", "double", "int32", "int64", "string", "bytes", "enum", "duration", "repeated", "map"];

// The field in its message: whether it is there, then what is in it. Undefined when nothing is asked of it.
function compileField(field: DescField, known: Known): Check | undefined {
  const rules = getOption(field, fieldOption);
  refuseOthers(String(field), FieldRulesSchema, rules, ["required", ...TYPED]);
  const check = compileValue(field, rules.type, known);
  const { localName, oneof } = field;
  const required = rules.required;
  if (oneof !== undefined) {
    if (required) throw unknown(String(field), "required in a oneof");
    if (check === undefined) return undefined;
    const group = oneof.localName;
    return (message) => {
      const chosen = (message as Fields)[group] as { case?: string; value?: unknown };
      return chosen.case !== localName || check(chosen.value);
    };
  }
  if (field.fieldKind === "message") {
    if (check === undefined && !required) return undefined;
    return (message) => {
      const value = (message as Fields)[localName];
      return value === undefined ? !required : check === undefined || check(value);
    };
  }
  // A scalar that is not optional has a value at any rate, and rules hold for it even when it is zero.
  if (required) throw unknown(String(field), "required of what is no message");
  if (check === undefined) return undefined;
  if (field.proto.proto3Optional === true) {
    return (message) => {
      const value = (message as Fields)[localName];
      return value === undefined || check(value);
    };
  }
  return (message) => check((message as Fields)[localName]);
}

type TypedRules = ReturnType<typeof getOption<typeof fieldOption, DescField>>["type"];

function compileValue(field: DescField, rules: TypedRules, known: Known): Check | undefined {
  const of = String(field);
  switch (field.fieldKind) {
    case "message": {
      if (rules.case === "duration") return compileDuration(of, rules.value);
      if (rules.case !== undefined) throw unknown(of, rules.case);
      return compileInner(field.message, known);
    }
    case "list": {
      const checks: Check[] = [];
      if (rules.case === "repeated") checks.push(...compileList(field, rules.value));
      else if (rules.case !== undefined) throw unknown(of, rules.case);
      if (field.listKind === "message") {
        const check = compileInner(field.message, known);
        if (check !== undefined) checks.push((list) => (list as readonly unknown[]).every(check));
      }
      return findCheck(checks);
    }
    case "enum":
      if (rules.case === undefined) return undefined;
      if (rules.case !== "enum") throw unknown(of, rules.case);
      return compileEnum(of, rules.value, new Set(field.enum.values.map((value) => value.number)));
    case "scalar":
      return compileScalar(of, rules);
    case "map":
      return compileMap(field, rules);
  }
}

function compileList(field: DescField & { readonly fieldKind: "list" }, rules: RepeatedRules): Check[] {
  const of = String(field);
  refuseOthers(of, RepeatedRulesSchema, rules, ["min_items", "max_items", "unique", "items"]);
  const checks: Check[] = [];
  const [least, most] = [Number(rules.minItems), Number(rules.maxItems)];
  if (isFieldSet(rules, RepeatedRulesSchema.field.minItems)) {
    checks.push((list) => (list as readonly unknown[]).length >= least);
  }
  if (isFieldSet(rules, RepeatedRulesSchema.field.maxItems)) {
    checks.push((list) => (list as readonly unknown[]).length <= most);
  }
  if (rules.unique) {
    // Bytes, and zero with its two signs, are told apart otherwise than by themselves.
    if (field.listKind !== "scalar" || field.scalar !== ScalarType.STRING) throw unknown(of, "unique of no strings");
    checks.push((list) => new Set(list as readonly unknown[]).size === (list as readonly unknown[]).length);
  }
  const check = compileItem(of, rules.items);
  if (check !== undefined) checks.push((list) => (list as readonly unknown[]).every(check));
  return checks;
}

function compileMap(field: DescField & { readonly fieldKind: "map" }, rules: TypedRules): Check | undefined {
  const of = String(field);
  if (field.mapKind === "message") throw unknown(of, "map of messages");
  if (rules.case === undefined) return undefined;
  if (rules.case !== "map") throw unknown(of, rules.case);
  refuseOthers(of, MapRulesSchema, rules.value, ["max_pairs", "keys", "values"]);
  // Keys of any other kind are texts in a message as well, and their rules are not for texts.
  if (field.mapKey !== ScalarType.STRING) throw unknown(of, "map with keys that are no strings");
  const [keepsKey, keepsValue] = [compileItem(of, rules.value.keys), compileItem(of, rules.value.values)];
  const most = isFieldSet(rules.value, MapRulesSchema.field.maxPairs)
    ? Number(rules.value.maxPairs)
    : Number.POSITIVE_INFINITY;
  return (map) => {
    const pairs = Object.entries(map as Fields);
    return (
      pairs.length <= most && pairs.every(([key, value]) => keepsKey?.(key) !== false && keepsValue?.(value) !== false)
    );
  };
}

/** The rules of each item of a list or of a map. */
function compileItem(of: string, rules: FieldRules | undefined): Check | undefined {
  if (rules === undefined) return undefined;
  refuseOthers(of, FieldRulesSchema, rules, TYPED);
  return compileScalar(of, rules.type);
}

function compileDuration(of: string, rules: DurationRules): Check {
  refuseOthers(of, DurationRulesSchema, rules, ["lt", "lte", "gt", "gte"]);
  const { greaterThan, lessThan } = rules;
  // There is nothing between two nanoseconds, so that what is beyond a bound begins at the next.
  const least = greaterThan.value && toNanos(greaterThan.value) + (greaterThan.case === "gt" ? 1n : 0n);
  const most = lessThan.value && toNanos(lessThan.value) - (lessThan.case === "lt" ? 1n : 0n);
  if (least !== undefined && most !== undefined && least > most) throw unknown(of, "a range turned round");
  return (value) => {
    const nanos = toNanos(value as Duration);
    return (least === undefined || nanos >= least) && (most === undefined || nanos <= most);
  };
}

function toNanos({ seconds, nanos }: Duration): bigint {
  return seconds * 1_000_000_000n + BigInt(nanos);
}

function compileScalar(of: string, rules: TypedRules): Check | undefined {
  switch (rules.case) {
    case undefined:
      return undefined;
    case "string":
      return compileString(of, rules.value);
    case "bytes":
      return compileBytes(of, rules.value);
    case "int32":
      refuseOthers(of, Int32RulesSchema, rules.value, ["lte", "gte"]);
      return compileRange(of, rules.value);
    case "int64":
      refuseOthers(of, Int64RulesSchema, rules.value, ["lte", "gte"]);
      return compileRange(of, rules.value);
    case "double":
      refuseOthers(of, DoubleRulesSchema, rules.value, ["lte", "gte", "finite"]);
      return compileDouble(of, rules.value);
    default:
      throw unknown(of, rules.case);
  }
}

function compileString(of: string, rules: StringRules): Check {
  refuseOthers(of, StringRulesSchema, rules, ["min_len", "max_bytes", "pattern", "uuid"]);
  const checks: Check[] = [];
  if (isFieldSet(rules, StringRulesSchema.field.minLen)) {
    // Beyond 1 it counts code points, which no proto of ours asks for.
    if (rules.minLen !== 1n) throw unknown(of, `min_len of ${rules.minLen}`);
    checks.push((text) => text !== "");
  }
  if (isFieldSet(rules, StringRulesSchema.field.maxBytes)) {
    const most = Number(rules.maxBytes);
    // A unit of UTF-16 has at most three bytes in UTF-8, so most texts need not be measured.
    checks.push((text) => (text as string).length * 3 <= most || Buffer.byteLength(text as string) <= most);
  }
  if (isFieldSet(rules, StringRulesSchema.field.pattern)) checks.push(compilePattern(of, rules.pattern));
  if (rules.wellKnown.case === "uuid" && rules.wellKnown.value) checks.push((text) => UUID.test(text as string));
  return all(checks);
}

const UUID = /^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$/;
// From one end to the other, classes of letters, digits, hyphens and ._/: (which mean themselves there), each a bounded number of
// times; all of it perhaps in brackets, as what may be absent or a star instead: RE2 and RegExp read these alike, and neither goes back
// and forth.
const CLASSES = /(?:\[(?:[a-zA-Z0-9](?:-[a-zA-Z0-9])?|[._/:])+-?\](?:\{[0-9]{1,3}(?:,[0-9]{1,3})?\})?)+/.source;
const PLAIN_PATTERN = new RegExp(String.raw`^\^(?:${CLASSES}|\((?:\\\*\|)?${CLASSES}\)\??)\$$`);

function compilePattern(of: string, pattern: string): Check {
  if (!PLAIN_PATTERN.test(pattern)) throw unknown(of, `pattern ${pattern}`);
  const expression = new RegExp(pattern);
  return (text) => expression.test(text as string);
}

function compileBytes(of: string, rules: BytesRules): Check {
  refuseOthers(of, BytesRulesSchema, rules, ["len", "min_len", "max_len"]);
  const { len, minLen, maxLen } = BytesRulesSchema.field;
  const least = isFieldSet(rules, len) ? rules.len : isFieldSet(rules, minLen) ? rules.minLen : 0n;
  const most = isFieldSet(rules, len) ? rules.len : isFieldSet(rules, maxLen) ? rules.maxLen : undefined;
  const [from, to] = [Number(least), most === undefined ? Number.POSITIVE_INFINITY : Number(most)];
  return (bytes) => {
    const { length } = bytes as Uint8Array;
    return length >= from && length <= to;
  };
}

function compileEnum(of: string, rules: EnumRules, defined: ReadonlySet<number>): Check {
  refuseOthers(of, EnumRulesSchema, rules, ["defined_only", "not_in"]);
  const { definedOnly, notIn } = rules;
  return (value) => (!definedOnly || defined.has(value as number)) && !notIn.includes(value as number);
}

// Numbers and BigInts compare alike, each with its own kind.
function compileRange(of: string, { greaterThan, lessThan }: Int32Rules | Int64Rules | DoubleRules): Check {
  const from = greaterThan.case === "gte" ? greaterThan.value : undefined;
  const to = lessThan.case === "lte" ? lessThan.value : undefined;
  // Turned round, protovalidate takes the two for what must not be.
  if (from !== undefined && to !== undefined && from > to) throw unknown(of, "a range turned round");
  return (value) =>
    (from === undefined || (value as number | bigint) >= from) &&
    (to === undefined || (value as number | bigint) <= to);
}

// NaN is in no range.
function compileDouble(of: string, rules: DoubleRules): Check {
  const check = compileRange(of, rules);
  return (value) => (!rules.finite || Number.isFinite(value)) && check(value);
}

function all(checks: readonly Check[]): Check {
  return (value) => {
    for (let index = 0; index < checks.length; index++) if (!checks[index]!(value)) return false;
    return true;
  };
}

// Within itself a message is not compiled yet: its checks are looked up when they are needed.
function compileInner(schema: DescMessage, known: Known): Check | undefined {
  const before = known.get(schema);
  return before === undefined ? findCheck(compileMessage(schema, known)) : all(before);
}

// Undefined when nothing is asked: then nobody need look.
function findCheck(checks: readonly Check[]): Check | undefined {
  return checks.length === 0 ? undefined : all(checks);
}

// Whatever else is set in the rules would be passed over: rather no function than one that says yes to too much.
function refuseOthers(of: string, schema: DescMessage, rules: Message, names: readonly string[]): void {
  for (const field of schema.fields) {
    if (isFieldSet(rules, field) && !names.includes(field.name)) throw unknown(of, field.name);
  }
  if ((rules.$unknown ?? []).length > 0) throw unknown(of, "an extension");
}

function unknown(of: string, rule: string): RangeError {
  return new RangeError(`Cannot compile the rules of ${of}: ${rule} is not among those that are known here`);
}
