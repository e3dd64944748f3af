import { celEnv, parse, plan } from "@bufbuild/cel";
import { create } from "@bufbuild/protobuf";
import { TimestampSchema, timestampFromMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Condition, type ConditionAnswer, readCondition } from "./condition.ts";
import { sampleFacts } from "./facts.fixture.ts";
import type { Facts } from "./facts.ts";

function read(text: string): Condition {
  const condition = readCondition(text);
  if (condition.kind === "refusal") throw new Error(`${condition.rule} at ${condition.offset}: ${condition.message}`);
  return condition;
}

function answer(text: string, facts: Facts = sampleFacts()): ConditionAnswer {
  let failed = false;
  for (const conjunct of read(text).conjuncts) {
    const part = conjunct.evaluate(facts);
    if (part === false) return false;
    if (part === "failed") failed = true;
  }
  return failed ? "failed" : true;
}

describe("readCondition()", () => {
  it.each([
    ["", true],
    ['caller.team == "web"', true],
    ['"web" == caller.team', true],
    ['caller.team != "web"', false],
    ['region in ["eu", "us"] && !(caller.app in ["desk"])', true],
    ["call.streamed", true],
    ["!call.has_tools", true],
    ["call.max_output_tokens > 499 && 500 >= call.max_output_tokens", true],
    ["call.input_bytes / 3 == 1333 && call.input_bytes % 3 == 1 && -call.input_bytes / 3 == -1333", true],
    ['call.model.startsWith("gpt-") && call.model.endsWith("mini") && call.model.contains("-5-")', true],
    ['call.model.matches("^gpt-[0-9]+-(mini|nano)$")', true],
    ["call.model.matches('(?i)^GPT-[0-9A-Z]+-M')", true],
    [String.raw`call.model.matches(r'^[\pL\pN-]+$') && !call.model.matches(r'[\x{300}-\x{10ffff}]')`, true],
    ['caller.labels.tier == "gold" && caller.labels["odd"] == "x y"', true],
    ['caller.labels.absent == ""', true],
    ['has(caller.labels.tier) && !has(caller.labels.absent) && "tier" in caller.labels', true],
    ["size(caller.labels) == 4 && caller.labels.size() == 4", true],
    ['caller.agent == "planner"', true],
    ["int(caller.labels.quota) > 11", true],
    ["int(caller.labels.tier) > 11", "failed"],
    ["call.max_output_tokens / (call.max_output_tokens - 500) > 0", "failed"],
    ["call.max_output_tokens / (call.max_output_tokens - 500) > 0 && false", false],
    ["call.streamed || 1 / (call.max_output_tokens - 500) > 0", true],
    ["1 / (call.max_output_tokens - 500) > 0 || call.streamed", true],
    ["9007199254740991 + call.max_output_tokens > 0", "failed"],
    ['["gpt", "claude"].exists(p, call.model.startsWith(p))', true],
    ['["gpt", "claude"].all(p, call.model.startsWith(p))', false],
    ["[0, 1].exists(n, 1 / n > 0)", true],
    ['caller.labels.exists(name, name.startsWith("ti"))', true],
    ['call.operation == "chat" ? call.streamed : false', true],
    ['size("héllo") == 5', true],
    ["now.getHours() == 22 && now.getMinutes() == 30 && now.getSeconds() == 5", true],
    ['now.getHours("Europe/Berlin") == 0 && now.getDayOfWeek("Europe/Berlin") == 1', true],
    ['now.getHours("+05:30") == 4 && now.getDate("+05:30") == 15', true],
    [
      "now.getFullYear() == 2026 && now.getMonth() == 5 && now.getDayOfMonth() == 13 && now.getDayOfYear() == 164",
      true,
    ],
    ['now >= timestamp("2026-06-14T22:30:00Z") && now < timestamp("2026-06-15T01:00:00+02:00")', true],
  ])("%s is %s", (text, expected) => {
    expect(answer(text)).toBe(expected);
  });

  it.each([
    ["caller.team ==", "CONDITION_SYNTAX", 12],
    ["caller.team = 'x'", "CONDITION_SYNTAX", 12],
    ["caller.tem == 'x'", "CONDITION_FACT_UNKNOWN", 6],
    ["user == 'x'", "CONDITION_FACT_UNKNOWN", 0],
    ["user.name == 'x'", "CONDITION_FACT_UNKNOWN", undefined],
    ["caller.team", "CONDITION_TYPE", 6],
    ["caller.team == 3", "CONDITION_TYPE", undefined],
    ["call.max_output_tokens > '3'", "CONDITION_TYPE", undefined],
    ["call.model > 'a'", "CONDITION_TYPE", undefined],
    ["call.model in ['a', 3]", "CONDITION_TYPE", undefined],
    ["call.model.startsWith()", "CONDITION_TYPE", undefined],
    ["call.max_output_tokens.startsWith('a')", "CONDITION_TYPE", undefined],
    ["call.max_output_tokens > 1.5", "CONDITION_UNSUPPORTED", undefined],
    ["{'a': 1}.size() == 1", "CONDITION_UNSUPPORTED", undefined],
    ["has(caller.team)", "CONDITION_UNSUPPORTED", undefined],
    ["call.model.lowerAscii() == 'a'", "CONDITION_UNSUPPORTED", undefined],
    ["['a'].map(x, x).size() == 1", "CONDITION_UNSUPPORTED", undefined],
    ["call.input_bytes > 9007199254740993", "CONDITION_VALUE", undefined],
    ["call.model.matches('(')", "CONDITION_VALUE", undefined],
    ["call.model.matches('a{300}')", "CONDITION_VALUE", undefined],
    [String.raw`call.model.matches(r'\\x{300}')`, "CONDITION_VALUE", undefined],
    [`call.model.matches(r'${String.raw`[^\pL]`.repeat(9)}')`, "CONDITION_VALUE", undefined],
    ["call.model.matches('(?i)[--\u{1e943}]')", "CONDITION_VALUE", undefined],
    [String.raw`call.model.matches(r'x(?s-i:[\x{42}-\x{1e943}])')`, "CONDITION_VALUE", undefined],
    ["call.model.matches('(.{1,30}){1,30}x')", "CONDITION_TOO_COSTLY", undefined],
    ["call.model.matches(caller.team)", "CONDITION_VALUE", undefined],
    ["now.getHours('Atlantis') > 1", "CONDITION_VALUE", undefined],
    ["now > timestamp('tomorrow')", "CONDITION_VALUE", undefined],
    ["call.model in []", "CONDITION_VALUE", undefined],
    [`call.model == "${"x".repeat(2048)}"`, "CONDITION_TOO_COSTLY", -1],
    [`${"(".repeat(33)}true${")".repeat(33)}`, "CONDITION_TOO_COSTLY", 32],
    ["['a'].exists(x, ['b'].exists(y, x == y))", "CONDITION_TOO_COSTLY", undefined],
    [`[${"1,".repeat(300)}1].all(n, n > 0 && n < 9)`, "CONDITION_TOO_COSTLY", -1],
  ])("refuses %s", (text, rule, offset) => {
    const refusal = readCondition(text);

    expect(refusal).toMatchObject({ kind: "refusal", rule });
    if (offset !== undefined && refusal.kind === "refusal") expect(refusal.offset).toBe(offset);
  });

  it("puts first what needs the least, and says what that is", () => {
    const { conjuncts } = read('call.streamed && caller.team == "web" && call.model == "a" && region == "eu"');

    expect(conjuncts.map(({ text, stage }) => [stage, text])).toEqual([
      [0, 'region == "eu"'],
      [1, 'caller.team == "web"'],
      [2, 'call.model == "a"'],
      [3, "call.streamed"],
    ]);
  });

  it("says what a simple part compares, whichever way it is written", () => {
    const compared = (text: string) => read(text).conjuncts[0]?.comparison;

    expect(compared('"web" == caller.team')).toEqual({ fact: "caller.team", operator: "==", values: ["web"] });
    expect(compared("5 < call.input_bytes")).toEqual({ fact: "call.input_bytes", operator: ">", values: [5] });
    expect(compared('!(region in ["eu"])')).toEqual({ fact: "region", operator: "not in", values: ["eu"] });
    expect(compared('caller.labels["tier"] != "gold"')).toMatchObject({ fact: "caller.labels.tier", operator: "!=" });
    expect(compared('caller.team == "a" || caller.team == "b"')).toBeUndefined();
  });

  it("knows what asks about nothing", () => {
    expect(read("1 + 1 == 3").conjuncts[0]).toMatchObject({ constant: false, stage: 0 });
  });

  it("never throws, whatever it is given", () => {
    const piece = fc.constantFrom(
      ..."()[]{}'\".,&&||!?:+-*/%<>= abcall.model call.team now region in 1 0x 1u b'' // \n \0 é".split(" "),
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: "binary", maxLength: 60 }),
          fc.array(piece).map((all) => all.join("")),
        ),
        (text) => {
          readCondition(text);
        },
      ),
      { numRuns: 100 },
    );
  });

  it("answers as the library's own evaluation does", () => {
    const env = celEnv();
    const facts = sampleFacts();
    const { labels, ...caller } = facts.caller;
    const bindings = {
      region: facts.region,
      caller: { ...caller, key_id: caller.keyId, agent: labels.agent as string, labels },
      call: {
        model: facts.model,
        operation: facts.operation,
        streamed: facts.streamed,
        max_output_tokens: BigInt(facts.maxOutputTokens),
        input_bytes: BigInt(facts.inputBytes),
        has_tools: facts.hasTools,
      },
      now: create(TimestampSchema, timestampFromMs(facts.nowMs)),
    };

    fc.assert(
      fc.property(bool(3), (text) => {
        const expected = (plan(env, parse(text)) as (given: unknown) => unknown)(bindings);

        expect([text, answer(text, facts)]).toEqual([text, typeof expected === "boolean" ? expected : "failed"]);
      }),
      { numRuns: 500 },
    );
  });
});

/** Texts of random conditions, `depth` deep. */
function bool(depth: number): fc.Arbitrary<string> {
  const leaf = fc.constantFrom(
    "true",
    "false",
    "call.streamed",
    "call.has_tools",
    "has(caller.labels.tier)",
    '("x" in caller.labels)',
  );
  if (depth === 0) return leaf;
  const below = bool(depth - 1);
  const pair = (operators: readonly string[], of: fc.Arbitrary<string>) =>
    fc.tuple(of, fc.constantFrom(...operators), of).map(([a, operator, b]) => `(${a} ${operator} ${b})`);
  return fc.oneof(
    leaf,
    pair(["&&", "||", "==", "!="], below),
    pair(["==", "!=", "<", "<=", ">", ">="], integer(depth)),
    pair(["==", "!="], text),
    below.map((part) => `!(${part})`),
    fc.tuple(below, below, below).map(([a, b, c]) => `(${a} ? ${b} : ${c})`),
    fc.tuple(text, fc.array(text, { minLength: 1, maxLength: 3 })).map(([a, all]) => `(${a} in [${all.join(", ")}])`),
    fc.tuple(text, fc.constantFrom("startsWith", "endsWith", "contains"), text).map(([a, f, b]) => `${a}.${f}(${b})`),
    fc.tuple(text, fc.constantFrom("^a", "mini|gold", "[0-9]+$", "(x+)+y")).map(([a, p]) => `${a}.matches("${p}")`),
    fc
      .tuple(fc.constantFrom("exists", "all"), integer(1))
      .map(([macro, n]) => `[0, 1, 500].${macro}(n, ${n} % n == 0)`),
  );
}

function integer(depth: number): fc.Arbitrary<string> {
  const leaf = fc.constantFrom(
    "0",
    "1",
    "7",
    "500",
    "call.max_output_tokens",
    "call.input_bytes",
    "size(caller.team)",
    "int(caller.labels.quota)",
    "int(caller.team)",
  );
  if (depth === 0) return leaf;
  const below = integer(depth - 1);
  return fc.oneof(
    leaf,
    below.map((part) => `-(${part})`),
    fc
      .tuple(below, fc.constantFrom("+", "-", "*", "/", "%"), below)
      .map(([a, operator, b]) => `(${a} ${operator} ${b})`),
  );
}

const text = fc.constantFrom(
  '"web"',
  '"gold"',
  '"gpt-5-mini"',
  '""',
  "caller.team",
  "caller.labels.tier",
  'caller.labels["odd"]',
  "call.model",
  "region",
);
