import { describe, expect, it } from "vitest";
import { Dialect, Server } from "../../gen/weir/policy/v1/policy_pb.ts";
import type { ChatInput } from "../../gen/weir/router/v1/chat_pb.ts";
import { readInput as readChatCompletions } from "./arrival/chat-completions/read-input.ts";
import { readInput as readMessages } from "./arrival/messages/read-input.ts";
import { readInput as readResponses } from "./arrival/responses/read-input.ts";
import type { Format } from "./providers/dialect.ts";
import { findDialect } from "./providers/registry.ts";

const TURNS = [{ role: "user", content: "hi" }];

/** What a translated request lost, and what became of it. */
function compose(dialect: Dialect, input: ChatInput, from: Format | undefined) {
  const lost: string[] = [];
  const { typed } = findDialect(dialect, Server.UNSPECIFIED)!;
  const body = typed.composeTyped(input, {
    model: "m",
    streamed: false,
    maxOutputTokens: 9n,
    ...(from !== undefined && { from }),
    lose: (field) => lost.push(field),
    leaveOut: (field) => lost.push(field),
  });
  return { lost, body: body.toString() };
}
const parse = (read: (bytes: Buffer) => ChatInput, body: object) => read(Buffer.from(JSON.stringify(body)));

describe("probabilities of tokens that a caller asks for", () => {
  it.each([Dialect.ANTHROPIC, Dialect.GEMINI, Dialect.BEDROCK])(
    "can't be said by chat completions to the dialect %i, and are never left out in silence",
    (dialect) => {
      const asked = { model: "m", messages: TURNS, logprobs: true, top_logprobs: 2 };

      const { lost, body } = compose(dialect, parse(readChatCompletions, asked), "chat-completions");

      expect(lost.sort()).toEqual(['extras["logprobs"]', 'extras["top_logprobs"]']);
      expect(body).not.toMatch(/logprobs/i);
    },
  );

  it.each([Dialect.OPENAI, Dialect.AZURE_OPENAI, Dialect.ANTHROPIC, Dialect.GEMINI, Dialect.BEDROCK])(
    "can't be said by responses that are translated to the dialect %i",
    (dialect) => {
      const asked = { model: "m", input: "hi", top_logprobs: 2, include: ["message.output_text.logprobs"] };

      const { lost, body } = compose(dialect, parse(readResponses, asked), "responses");

      expect(lost.sort()).toEqual(['extras["include"]', 'extras["top_logprobs"]']);
      expect(body).not.toMatch(/logprobs/i);
    },
  );

  it.each([Dialect.OPENAI, Dialect.AZURE_OPENAI, Dialect.GEMINI, Dialect.BEDROCK])(
    "can't be said in messages, which have no word for them, to the dialect %i",
    (dialect) => {
      const asked = { model: "m", max_tokens: 9, messages: TURNS, logprobs: true };

      expect(compose(dialect, parse(readMessages, asked), "messages").lost).toEqual(['extras["logprobs"]']);
    },
  );

  it("that are not wanted keep no target from being asked", () => {
    const asked = { model: "m", messages: TURNS, logprobs: false };

    for (const dialect of [Dialect.ANTHROPIC, Dialect.GEMINI, Dialect.BEDROCK]) {
      expect(compose(dialect, parse(readChatCompletions, asked), "chat-completions").lost).toEqual([]);
    }
  });
});

/** A dialect's own words for them, as a caller of ChatService may use them in extras. */
describe("probabilities of tokens in an answer of typed messages", () => {
  const entry = (token: string) => ({ token, logprob: -0.5, bytes: null, top_logprobs: [] });
  const chosen = (token: string) => ({ token, logProbability: -0.5 });
  const event = (value: object) => `data: ${JSON.stringify(value)}\n\n`;
  const DIALECTS = {
    OPENAI: {
      dialect: Dialect.OPENAI,
      whole: { choices: [{ index: 0, message: { content: "ab" }, logprobs: { content: [entry("a"), entry("b")] } }] },
      events: ["a", "b"].map((token) =>
        event({
          choices: [{ index: 0, delta: { content: token }, logprobs: { content: [entry(token)], refusal: null } }],
        }),
      ),
      expected: { logprobs: { content: [entry("a"), entry("b")] } },
    },
    GEMINI: {
      dialect: Dialect.GEMINI,
      whole: {
        candidates: [
          {
            content: { parts: [{ text: "ab" }] },
            avgLogprobs: -0.5,
            logprobsResult: { chosenCandidates: [chosen("a"), chosen("b")] },
          },
        ],
      },
      events: ["a", "b"].map((token) =>
        event({
          candidates: [
            {
              content: { parts: [{ text: token }] },
              avgLogprobs: -0.5,
              logprobsResult: { chosenCandidates: [chosen(token)] },
            },
          ],
        }),
      ),
      expected: { avgLogprobs: -0.5, logprobsResult: { chosenCandidates: [chosen("a"), chosen("b")] } },
    },
  };

  it.each(Object.entries(DIALECTS))(
    "are there whole and streamed: %s",
    (_name, { dialect, whole, events, expected }) => {
      const { typed } = findDialect(dialect, Server.UNSPECIFIED)!;
      const reader = typed.createPieceReader();
      for (const one of events) reader.read(Buffer.from(one));
      reader.end();

      expect(typed.toTypedAnswer(Buffer.from(JSON.stringify(whole))).candidates[0]?.extras).toEqual(expected);
      expect(reader.extras?.candidates).toMatchObject([{ index: 0, ...expected }]);
    },
  );
});
