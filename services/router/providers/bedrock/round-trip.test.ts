import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { expect, it } from "vitest";
import { ChatInputSchema, Role } from "../../../../gen/weir/router/v1/chat_pb.ts";
import { toTypedAnswer } from "./typed-answer.ts";
import { composeTyped } from "./typed-request.ts";

it("what the model said goes back to it as it came, signatures byte for byte", () => {
  const text = fc.string({ minLength: 1, unit: "grapheme" });
  const json = fc.jsonValue({ maxDepth: 4 });
  const citation = fc.record({
    title: text,
    location: fc.constant({ documentPage: { documentIndex: 0, start: 1, end: 2 } }),
  });
  const part = fc.oneof(
    fc.record({ text }),
    fc.record({ toolUse: fc.record({ toolUseId: fc.uuid(), name: text, input: fc.dictionary(text, json) }) }),
    fc.record({
      reasoningContent: fc.record({
        reasoningText: fc.record({ text: fc.string(), signature: fc.base64String({ minLength: 4 }) }),
      }),
    }),
    fc.record({ reasoningContent: fc.record({ redactedContent: fc.base64String({ minLength: 4 }) }) }),
    fc.record({
      citationsContent: fc.record({
        content: fc.tuple(fc.record({ text })),
        citations: fc.array(citation, { minLength: 1 }),
      }),
    }),
    fc.constant({ image: { format: "png", source: { bytes: "AQID" } } }),
  );

  fc.assert(
    fc.property(fc.array(part, { minLength: 1 }), (content) => {
      // What travels as JSON has no negative zero.
      const sent = JSON.stringify({ output: { message: { role: "assistant", content } }, stopReason: "end_turn" });
      const [candidate] = toTypedAnswer(Buffer.from(sent)).candidates;
      const messages = [{ role: Role.ASSISTANT, blocks: candidate!.blocks }];
      const lose = (field: string): never => {
        throw new Error(`lost ${field}`);
      };

      const body = composeTyped(create(ChatInputSchema, { messages }), {
        model: "anthropic.claude-x",
        streamed: true,
        maxOutputTokens: 1n,
        lose,
        leaveOut: lose,
      });

      const { output } = JSON.parse(sent);
      expect(JSON.parse(body.toString()).messages).toEqual([{ role: "assistant", content: output.message.content }]);
    }),
  );
});
