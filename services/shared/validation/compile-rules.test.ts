import { clone, create, type DescField, type DescMessage, type Message } from "@bufbuild/protobuf";
import { DurationSchema } from "@bufbuild/protobuf/wkt";
import { createValidator } from "@bufbuild/protovalidate";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RecordSchema } from "../../../gen/weir/audit/v1/record_pb.ts";
import { AuditRecordedSchema } from "../../../gen/weir/event/v1/audit_recorded_pb.ts";
import { UsageRecordedSchema } from "../../../gen/weir/event/v1/usage_recorded_pb.ts";
import {
  CreateKeyRequestSchema,
  ListKeysRequestSchema,
  UpdateKeyRequestSchema,
} from "../../../gen/weir/policy/v1/key_service_pb.ts";
import { PolicySchema } from "../../../gen/weir/policy/v1/policy_pb.ts";
import { SnapshotSchema } from "../../../gen/weir/policy/v1/snapshot_pb.ts";
import {
  ReportSnapshotRequestSchema,
  ReportTrafficRequestSchema,
} from "../../../gen/weir/policy/v1/snapshot_service_pb.ts";
import { CallerSchema } from "../../../gen/weir/type/v1/caller_pb.ts";
import { createUsage } from "../../../test/usages.ts";
import { compileRules } from "./compile-rules.ts";

const validator = createValidator();
const SCHEMAS: readonly DescMessage[] = [
  UsageRecordedSchema,
  AuditRecordedSchema,
  RecordSchema,
  CallerSchema,
  SnapshotSchema,
  CreateKeyRequestSchema,
  UpdateKeyRequestSchema,
  ListKeysRequestSchema,
  ReportSnapshotRequestSchema,
  ReportTrafficRequestSchema,
];

const UUID = "0190a5d0-0000-7000-8000-000000000000";
/** Texts at and beyond each bound of the rules, and those that an engine of regular expressions may take differently. */
const texts = fc.oneof(
  fc.constantFrom(
    "",
    "a",
    "eu",
    "eu-1",
    "-eu",
    "Eu",
    "eu\n",
    "\neu",
    "abcdefghij23",
    "abcdefghij2",
    UUID,
    UUID.toUpperCase(),
  ),
  fc.constantFrom(
    `${UUID}\n`,
    `${UUID}0`,
    "é",
    "日本",
    "\0",
    "a.b",
    "*",
    "**",
    "*a",
    "a".repeat(31),
    "a".repeat(32),
    "a".repeat(33),
    "é".repeat(32),
  ),
  fc.constantFrom(...[36, 37, 63, 64, 65, 128, 129, 256, 257].map((length) => "x".repeat(length))),
  fc.constantFrom(...[21, 22, 42, 43, 64, 85, 86, 128].flatMap((length) => ["日".repeat(length), "é".repeat(length)])),
  fc.string({ maxLength: 40, unit: "binary" }),
);
const bytes = fc.oneof(
  fc.constantFrom(...[0, 1, 31, 32, 33, 64, 65, 60_000, 60_001].map((length) => new Uint8Array(length))),
  fc.uint8Array({ maxLength: 70 }),
);
const int32s = fc.oneof(fc.constantFrom(-1, 0, 1, 598, 599, 600), fc.integer());
const int64s = fc.oneof(fc.constantFrom(-1n, 0n, 1n, 2n ** 63n - 1n, -(2n ** 63n)), fc.bigInt(-100n, 100n));
/** About the bounds of the rules, each a nanosecond aside too. */
const durations = fc
  .record({
    seconds: fc.constantFrom(-1n, 0n, 14n, 15n, 86_400n, 2_592_000n, 3_153_600_000n, 315_576_000_000n),
    nanos: fc.constantFrom(-1, 0, 1, 999_999_999),
  })
  .map((duration) => create(DurationSchema, duration));
const enums = fc.oneof(fc.nat(9), fc.integer());

/** Any message of a schema, well-typed as a decoder makes it, in which most fields keep no rule. */
function anyMessage(schema: DescMessage, depth = 0): fc.Arbitrary<Message> {
  const fields = schema.fields.map((field) => fc.tuple(fc.constant(field), fc.boolean(), anyValue(field, depth)));
  return fc.tuple(...fields).map((values) => {
    const message = create(schema);
    for (const [field, isThere, value] of values) if (isThere) setField(message, field, value);
    return message;
  });
}

function anyValue(field: DescField, depth: number): fc.Arbitrary<unknown> {
  if (field.fieldKind === "list") {
    const item: fc.Arbitrary<unknown> = field.listKind === "message" ? anyMessage(field.message, depth + 1) : texts;
    // Sizes around the bounds of 16 and 64 come with equal items, which is enough to count them.
    const many = fc
      .tuple(item, fc.constantFrom(16, 17, 64, 65))
      .map(([one, count]) => Array.from({ length: count }, () => one));
    return depth > 1
      ? fc.array(item, { maxLength: 2 })
      : fc.oneof({ arbitrary: fc.array(item, { maxLength: 3 }), weight: 6 }, many);
  }
  if (field.fieldKind === "map") return fc.dictionary(texts, texts, { maxKeys: 2 });
  if (field.fieldKind === "message" && field.message.typeName === DurationSchema.typeName) return durations;
  if (field.fieldKind === "message") return anyMessage(field.message, depth + 1);
  if (field.fieldKind === "enum") return enums;
  const type = field.fieldKind === "scalar" ? field.scalar : 0;
  return type === 9 ? texts : type === 12 ? bytes : type === 8 ? fc.boolean() : type === 5 ? int32s : int64s;
}

function setField(message: Message, field: DescField, value: unknown): void {
  const fields = message as unknown as Record<string, unknown>;
  if (field.oneof === undefined) fields[field.localName] = value;
  else fields[field.oneof.localName] = { case: field.localName, value };
}

/** Every message within a message, itself included, with its schema. */
function listMessages(message: Message, schema: DescMessage): { message: Message; schema: DescMessage }[] {
  const found = [{ message, schema }];
  for (const field of schema.fields) {
    const fields = message as unknown as Record<string, unknown>;
    const value = field.oneof === undefined ? fields[field.localName] : undefined;
    if (field.fieldKind === "message" && value !== undefined)
      found.push(...listMessages(value as Message, field.message));
    if (field.fieldKind === "list" && field.listKind === "message") {
      found.push(...(value as Message[]).flatMap((item) => listMessages(item, field.message)));
    }
  }
  return found;
}

const DAY = { seconds: 86_400n };
const TENANT = { organisation: "acme", team: "search", app: "assistant" };
const KEY = { models: ["*", "large"], labels: { stage: "test" }, regions: ["eu"], strictAfter: DAY };
const INSTANCE = { region: "eu", instance: "eu-1", boot: "b" };
/** Messages that keep all rules. */
const GOOD: readonly { readonly schema: DescMessage; readonly message: Message }[] = [
  { schema: UsageRecordedSchema, message: createUsage() },
  {
    schema: CreateKeyRequestSchema,
    message: create(CreateKeyRequestSchema, { requestId: UUID, ...TENANT, environment: "test", ...KEY }),
  },
  {
    schema: ReportSnapshotRequestSchema,
    message: create(ReportSnapshotRequestSchema, { ...INSTANCE, kind: 1, phase: 1, reasons: ["broken"] }),
  },
  {
    schema: ReportTrafficRequestSchema,
    message: create(ReportTrafficRequestSchema, {
      ...{ ...INSTANCE, snapshotVersion: 1n, snapshotAge: DAY, keyringAge: DAY },
      overhead: [{ atMost: { nanos: 1 } }],
    }),
  },
];

const saysProtovalidate = (schema: DescMessage, message: Message): boolean =>
  validator.validate(schema, message).kind === "valid";

describe("compileRules()", () => {
  it.each(SCHEMAS.map((schema) => [schema.typeName, schema] as const))(
    "says of any %s what protovalidate says",
    (_, schema) => {
      const isValid = compileRules(schema);
      fc.assert(
        fc.property(anyMessage(schema), (message) => {
          expect(isValid(message)).toBe(saysProtovalidate(schema, message));
        }),
        { numRuns: 300 },
      );
    },
  );

  it.each(GOOD.map((good) => [good.schema.typeName, good] as const))(
    "says what protovalidate says of a good %s in which one field is another",
    (_, { schema, message: good }) => {
      const isValid = compileRules(schema);
      const counts = { valid: 0, invalid: 0 };
      const places = listMessages(good, schema).flatMap((within, index) =>
        within.schema.fields.map((field) => ({ index, field })),
      );
      const changes = places.map(({ index, field }) => anyValue(field, 1).map((value) => ({ index, field, value })));
      fc.assert(
        fc.property(fc.oneof(...changes), ({ index, field, value }) => {
          const message = clone(schema, good);
          setField(listMessages(message, schema)[index]!.message, field, value);

          const verdict = saysProtovalidate(schema, message);

          counts[verdict ? "valid" : "invalid"] += 1;
          expect(isValid(message)).toBe(verdict);
        }),
        { numRuns: 3_000 },
      );
      // Both answers were tried often, else the property would say little.
      expect(Math.min(counts.valid, counts.invalid)).toBeGreaterThan(200);
    },
  );

  it("refuses to compile rules that it does not know", () => {
    expect(() => compileRules(PolicySchema)).toThrow(RangeError);
  });
});
