import type { DescMessage, Message } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import type { Validator, Violation } from "@bufbuild/protovalidate";
import type { Interceptor } from "@connectrpc/connect";
import { type FieldViolation, WeirError } from "../errors/weir-error.ts";
import { compileRules } from "../validation/compile-rules.ts";
import { getFailFastValidator, getValidator } from "../validation/validator.ts";

/** Most violations that a refusal names; more would tell nobody more. */
const MOST_VIOLATIONS = 50;
/** Most values of a message of which all violations are looked for, which takes ten milliseconds at worst. */
const FEW_VALUES = 1_000;

/**
 * Holds a message against the rules in its proto. Throws ARGUMENT_INVALID with its violations: the first fifty at once, or of a message with
 * more than a thousand values the first one alone, behind which nothing is looked at.
 */
export type CheckMessage = (schema: DescMessage, message: Message) => void;

/**
 * Creates what holds messages against the rules in their protos (protovalidate). It also refuses NUL in any string, which PostgreSQL
 * cannot store.
 */
export function createMessageCheck(): CheckMessage {
  return (schema, message) => {
    if (findCompiled(schema)?.(message) === true && !holdsNul(message)) return;
    const found = hasFewValues(message)
      ? findViolations(schema, message, getValidator()).take(MOST_VIOLATIONS)
      : findViolations(schema, message, getFailFastValidator()).take(1);
    const violations = [...found];
    if (violations.length === 0) return;
    const list = violations.map(({ field, description }) => `${field || "message"} ${description}`).join("; ");
    throw new WeirError("ARGUMENT_INVALID", `Cannot accept ${schema.name}: ${list}`, { violations });
  };
}

type KeepsRules = (message: Message) => boolean;
const compiled = new WeakMap<DescMessage, KeepsRules | "not compiled">();

/** What says in a twentieth of the time that a message keeps its rules, as nearly all do; undefined where its proto has rules that are not compiled. */
function findCompiled(schema: DescMessage): KeepsRules | undefined {
  let found = compiled.get(schema);
  if (found === undefined) {
    try {
      found = compileRules(schema) as KeepsRules;
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      found = "not compiled";
    }
    compiled.set(schema, found);
  }
  return found === "not compiled" ? undefined : found;
}

/** Whether any text or key within a message has NUL. It is as deep as its decoder let it be. */
function holdsNul(value: unknown): boolean {
  if (typeof value === "string") return value.includes("\0");
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return false;
  if (Array.isArray(value)) return value.some(holdsNul);
  for (const key in value) if (key.includes("\0") || holdsNul((value as Record<string, unknown>)[key])) return true;
  return false;
}

/** Creates the interceptor that holds each request message against the rules in its proto; see {@link createMessageCheck}. */
export function createValidation(): Interceptor {
  const validate = createMessageCheck();
  return (next) => (request) => {
    if (!request.stream) {
      validate(request.method.input, request.message);
      return next(request);
    }
    return next({ ...request, message: validateEach(request.message, (m) => validate(request.method.input, m)) });
  };
}

async function* validateEach<T>(messages: AsyncIterable<T>, validate: (message: T) => void): AsyncIterable<T> {
  for await (const message of messages) {
    validate(message);
    yield message;
  }
}

// Stops where they are too many: the message comes from outside and may hold hundreds of thousands.
function hasFewValues(message: Message): boolean {
  const open: unknown[] = [message];
  for (let seen = 0; open.length > 0; seen += 1) {
    const value = open.pop();
    if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) continue;
    const held = Object.values(value);
    if (seen + open.length + held.length > FEW_VALUES) return false;
    open.push(...held);
  }
  return true;
}

function* findViolations(schema: DescMessage, message: Message, validator: Validator): Generator<FieldViolation> {
  const result = validator.validate(schema, message);
  // A rule that does not compile, or fails while it runs, is a mistake in our proto and not of the caller.
  if (result.kind === "error") throw result.error;
  for (const violation of result.violations ?? []) yield toFieldViolation(violation);
  yield* findNuls(reflect(schema, message), "");
}

function toFieldViolation(violation: Violation): FieldViolation {
  const path = violation.field.map((part) => {
    if (part.kind === "list_sub") return `[${part.index}]`;
    if (part.kind === "map_sub") return `[${JSON.stringify(String(part.key))}]`;
    return `.${part.kind === "extension" ? `[${part.typeName}]` : part.name}`;
  });
  return { field: path.join("").replace(/^\./, ""), description: violation.message };
}

/** No message of ours nests deeper; JSON and binary from outside are bounded by their readers before. */
const DEEPEST = 100;

function* findNuls(message: ReflectMessage, path: string, depth = 0): Generator<FieldViolation> {
  if (depth > DEEPEST) return;
  for (const field of message.fields) {
    if (!message.isSet(field)) continue;
    const name = path === "" ? field.name : `${path}.${field.name}`;
    if (field.fieldKind === "scalar") yield* findNul(message.get(field), name);
    else if (field.fieldKind === "message") yield* findNuls(message.get(field), name, depth + 1);
    else if (field.fieldKind === "list" && field.listKind !== "enum") {
      let index = 0;
      for (const item of message.get(field)) {
        const at = `${name}[${index++}]`;
        if (field.listKind === "message") yield* findNuls(item as ReflectMessage, at, depth + 1);
        else yield* findNul(item, at);
      }
    } else if (field.fieldKind === "map") {
      for (const [key, value] of message.get(field)) {
        const at = `${name}[${JSON.stringify(String(key))}]`;
        yield* findNul(key, at);
        if (field.mapKind === "message") yield* findNuls(value as ReflectMessage, at, depth + 1);
        else yield* findNul(value, at);
      }
    }
  }
}

function* findNul(value: unknown, field: string): Generator<FieldViolation> {
  if (typeof value === "string" && value.includes("\0")) yield { field, description: "must not contain NUL" };
}
