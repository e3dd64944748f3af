import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Dialect, Server } from "../../gen/weir/policy/v1/policy_pb.ts";
import { type ChatInput, UsageSchema } from "../../gen/weir/router/v1/chat_pb.ts";
import type { CallerFormat } from "./arrival/caller-format.ts";
import { chatCompletions } from "./arrival/chat-completions/chat-completions.ts";
import { readInput as readChatCompletions } from "./arrival/chat-completions/read-input.ts";
import { messages } from "./arrival/messages/messages.ts";
import { readInput as readMessages } from "./arrival/messages/read-input.ts";
import { readInput as readResponses } from "./arrival/responses/read-input.ts";
import { responses } from "./arrival/responses/responses.ts";
import { toFrame } from "./providers/bedrock/stream.fixture.ts";
import type { TypedFormat } from "./providers/dialect.ts";
import { findDialect } from "./providers/registry.ts";

const SCHEMA = (n: string) =>
  `{"type":"object","properties":{"n":{"minimum":${n},"enum":[${n}]}},"required":["n"],"x":{"deep":${n}}}`;
const INPUT = (n: string) => `{"id":${n},"list":[${n}],"deep":{"x":${n}}}`;
const quote = (json: string) => JSON.stringify(json);

interface Caller {
  readonly format: CallerFormat;
  readonly read: (bytes: Buffer) => ChatInput;
  /** A request with a tool, a use of it and its result, the number wherever one may stand. */
  readonly write: (n: string) => string;
}
const CALLERS: Readonly<Record<string, Caller>> = {
  "chat completions": {
    format: chatCompletions,
    read: readChatCompletions,
    write: (n) =>
      `{"model":"m","messages":[{"role":"user","content":"hi"},{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":${quote(INPUT(n))}}}]},{"role":"tool","tool_call_id":"c","content":"so"}],"tools":[{"type":"function","function":{"name":"f","parameters":${SCHEMA(n)}}}],"x_new":{"a":${n}}}`,
  },
  responses: {
    format: responses,
    read: readResponses,
    write: (n) =>
      `{"model":"m","input":[{"role":"user","content":"hi"},{"type":"function_call","call_id":"c","name":"f","arguments":${quote(INPUT(n))}},{"type":"function_call_output","call_id":"c","output":"so"}],"tools":[{"type":"function","name":"f","parameters":${SCHEMA(n)}}],"x_new":{"a":${n}}}`,
  },
  messages: {
    format: messages,
    read: readMessages,
    write: (n) =>
      `{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":[{"type":"tool_use","id":"c","name":"f","input":${INPUT(n)}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"c","content":"so"}]}],"tools":[{"name":"f","input_schema":${SCHEMA(n)}}],"x_new":{"a":${n}}}`,
  },
};

interface Target {
  readonly typed: TypedFormat;
  /** An answer in one piece that uses a tool, and the same streamed. */
  readonly whole: (n: string) => Buffer;
  readonly streamed: (n: string) => Buffer;
}
const event = (json: string) => `data: ${json}\n\n`;
const openaiChoice = (n: string, key: string) =>
  `{"id":"a","model":"m","choices":[{"index":0,"finish_reason":"tool_calls","${key}":{"role":"assistant","tool_calls":[{"index":0,"id":"c","type":"function","function":{"name":"f","arguments":${quote(INPUT(n))}}}]}}]}`;
const geminiAnswer = (n: string) =>
  `{"candidates":[{"content":{"role":"model","parts":[{"functionCall":{"name":"f","args":${INPUT(n)}}}]},"finishReason":"STOP"}]}`;
const TARGETS: Readonly<Record<string, Target>> = {
  OPENAI: {
    typed: findDialect(Dialect.OPENAI, Server.OPENAI)!.typed,
    whole: (n) => Buffer.from(openaiChoice(n, "message")),
    streamed: (n) => Buffer.from(event(openaiChoice(n, "delta"))),
  },
  ANTHROPIC: {
    typed: findDialect(Dialect.ANTHROPIC, Server.UNSPECIFIED)!.typed,
    whole: (n) =>
      Buffer.from(
        `{"type":"message","content":[{"type":"tool_use","id":"c","name":"f","input":${INPUT(n)}}],"stop_reason":"tool_use"}`,
      ),
    // With the input at its start, as some servers have it.
    streamed: (n) =>
      Buffer.from(
        event(
          `{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"c","name":"f","input":${INPUT(n)}}}`,
        ) +
          event('{"type":"content_block_stop","index":0}') +
          event('{"type":"message_delta","delta":{"stop_reason":"tool_use"}}'),
      ),
  },
  GEMINI: {
    typed: findDialect(Dialect.GEMINI, Server.UNSPECIFIED)!.typed,
    whole: (n) => Buffer.from(geminiAnswer(n)),
    streamed: (n) => Buffer.from(event(geminiAnswer(n))),
  },
  BEDROCK: {
    typed: findDialect(Dialect.BEDROCK, Server.UNSPECIFIED)!.typed,
    whole: (n) =>
      Buffer.from(
        `{"output":{"message":{"role":"assistant","content":[{"toolUse":{"toolUseId":"c","name":"f","input":${INPUT(n)}}}]}},"stopReason":"tool_use"}`,
      ),
    streamed: (n) =>
      Buffer.concat([
        toFrame("contentBlockStart", { contentBlockIndex: 0, start: { toolUse: { toolUseId: "c", name: "f" } } }),
        toFrame("contentBlockDelta", { contentBlockIndex: 0, delta: { toolUse: { input: INPUT(n) } } }),
        toFrame("contentBlockStop", { contentBlockIndex: 0 }),
        toFrame("messageStop", { stopReason: "tool_use" }),
      ]),
  },
};

const PAIRS = Object.keys(CALLERS).flatMap((caller) => Object.keys(TARGETS).map((target) => [caller, target] as const));

/** Integers that a double can't hold, and fractions with more digits than it has, or with zeros that say nothing. */
const numbers = fc.oneof(
  fc.stringMatching(/^-?[1-9][0-9]{16,40}$/),
  fc.stringMatching(/^-?(0|[1-9][0-9]{0,20})\.[0-9]{1,40}$/),
  fc.stringMatching(/^-?[1-9](\.[0-9]{1,20})?[eE][+-]?[0-9]{1,3}$/),
);
const FACTS = { eventId: "e-1", model: "m", wantsUsage: true, createdAtS: 0, inputTokens: 0 };
const USAGE = create(UsageSchema);
/** A text in which JSON within strings is read as JSON. */
const unquote = (bytes: Buffer | string) => bytes.toString().replaceAll('\\"', '"');
const runs = { numRuns: 40 };

describe.each(PAIRS)("numbers of a caller of %s and a target of the dialect %s", (callerName, targetName) => {
  const caller = CALLERS[callerName]!;
  const target = TARGETS[targetName]!;

  it("reach the target in tools and their inputs digit for digit, and in extras so or by no means", () => {
    fc.assert(
      fc.property(numbers, (n) => {
        const lost: string[] = [];
        const body = unquote(
          target.typed.composeTyped(caller.read(Buffer.from(caller.write(n))), {
            model: "m",
            streamed: false,
            maxOutputTokens: 99n,
            from: caller.format.format,
            lose: (field) => lost.push(field),
            leaveOut: (field) => lost.push(field),
          }),
        );

        expect(body).toContain(INPUT(n));
        expect(body).toContain(`"n":{"minimum":${n},"enum":[${n}]}`);
        expect(body).toContain(`"x":{"deep":${n}}`);
        if (!body.includes(`"x_new":{"a":${n}}`)) expect(lost).toEqual(['extras["x_new"]']);
      }),
      runs,
    );
  });

  it("come back to the caller in the input of a tool digit for digit, whole and streamed", () => {
    fc.assert(
      fc.property(numbers, (n) => {
        const whole = caller.format.composeAnswer(target.typed.toTypedAnswer(target.whole(n)), USAGE, FACTS);
        const reader = target.typed.createPieceReader();
        const writer = caller.format.createStreamWriter(FACTS);
        const pieces = [...reader.read(target.streamed(n)), ...reader.end()];
        const streamed = Buffer.concat([writer.write(pieces), writer.end(USAGE, reader.extras)]);

        expect(unquote(whole)).toContain(INPUT(n));
        expect(unquote(streamed)).toContain(INPUT(n));
      }),
      runs,
    );
  });
});

describe("a number of a request that has a field of its own", () => {
  const read = (members: string) => readChatCompletions(Buffer.from(`{"model":"m","messages":[],${members}}`));

  it("is a seed of 64 bits with all its digits", () => {
    const input = read('"seed":-9223372036854775808');
    const body = findDialect(Dialect.OPENAI, Server.OPENAI)!.typed.composeTyped(input, {
      model: "m",
      streamed: false,
      maxOutputTokens: 9n,
      lose: () => undefined,
      leaveOut: () => undefined,
    });

    expect(body.toString()).toContain('"seed":-9223372036854775808');
  });

  it("may be written as a fraction that is none", () => {
    expect(read('"max_tokens":1e3,"temperature":1.0,"top_k":5.0')).toMatchObject({
      maxOutputTokens: 1000n,
      sampling: { temperature: 1, topK: 5n },
    });
  });

  it.each([
    ["seed", "9223372036854775808"],
    ["seed", "1e30"],
    ["seed", "1.5"],
    ["max_tokens", "9007199254740993"],
    ["temperature", "1e400"],
  ])("is refused by its path when it can't be said: %s %s", (field, value) => {
    expect(() => read(`"${field}":${value}`)).toThrow(`"${field}" must be a`);
  });

  it("is taken for no object", () => {
    const text = '{"model":"m","input":"hi","text":12345678901234567890}';

    expect(() => readResponses(Buffer.from(text))).toThrow('"text" must be an object');
  });
});
