import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { expect, it } from "vitest";
import { ChatInputSchema, Role } from "../../../../gen/weir/router/v1/chat_pb.ts";
import { toTypedAnswer } from "./codec.ts";
import { composeTyped } from "./request.ts";

interface Part {
  readonly text?: string;
  readonly thought?: boolean;
  readonly thoughtSignature?: string;
  readonly [kind: string]: unknown;
}

/**
 * The same parts with texts of a kind joined, and each signature of a text in a part of its own, as streams have it, unless an
 * unsigned part follows that is no text: then it is taken for that one's, which is where newer models have it.
 */
function normalize(parts: readonly Part[]): Part[] {
  const result: Part[] = [];
  let grows = false;
  let open = -1;
  for (const { thoughtSignature, ...part } of parts) {
    const signature = thoughtSignature && { thoughtSignature };
    if (part.text === undefined) {
      const owned = signature ?? (open >= 0 ? { thoughtSignature: result[open]!.thoughtSignature } : undefined);
      if (signature === undefined && open >= 0) result.splice(open, 1);
      result.push({ ...part, ...owned });
      open = -1;
      grows = false;
      continue;
    }
    const last = result.at(-1);
    if (part.text !== "") {
      if (grows && last?.thought === part.thought)
        result[result.length - 1] = { ...last, text: last!.text + part.text };
      else result.push(part);
      grows = true;
    }
    if (signature === undefined) continue;
    const grown = result.at(-1);
    if (part.thought && grows && grown?.thought) {
      result[result.length - 1] = { ...grown, ...signature };
    } else {
      open = result.length;
      result.push({ text: "", ...signature });
    }
    grows = false;
  }
  return result;
}

it("what the model said goes back to it as it came, signatures byte for byte", () => {
  const signature = { thoughtSignature: fc.base64String({ minLength: 4 }) };
  const optional = { requiredKeys: ["text"] as ["text"] };
  const args = fc.dictionary(fc.string(), fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.array(fc.string())));
  const call = fc.record({ id: fc.uuid(), name: fc.string({ minLength: 1 }), args });
  const part = fc.oneof(
    fc.record({ text: fc.string(), ...signature }, optional),
    fc.record({ text: fc.string(), thought: fc.constant(true), ...signature }, { requiredKeys: ["text", "thought"] }),
    fc.record({ functionCall: call, ...signature }, { requiredKeys: ["functionCall"] }),
    fc.constant({ inlineData: { mimeType: "image/png", data: "AQID" } }),
    fc.constant({ inlineData: { mimeType: "audio/wav", data: "AQID" }, thoughtSignature: "Abcd" }),
    fc.constant({ executableCode: { language: "PYTHON", code: "1" }, thoughtSignature: "Efgh" }),
  ) as fc.Arbitrary<Part>;

  fc.assert(
    fc.property(fc.array(part, { minLength: 1 }), (parts) => {
      const answer = { candidates: [{ content: { parts }, finishReason: "STOP" }] };
      const [candidate] = toTypedAnswer(Buffer.from(JSON.stringify(answer))).candidates;
      const messages = [{ role: Role.ASSISTANT, blocks: candidate!.blocks }];
      const lose = (field: string): never => {
        throw new Error(`lost ${field}`);
      };

      const body = composeTyped(create(ChatInputSchema, { messages }), {
        model: "gemini-2.5-pro",
        lose,
        leaveOut: lose,
      });

      const [content] = JSON.parse(body.toString()).contents as [{ parts: Part[] } | undefined];
      expect(content?.parts ?? []).toEqual(normalize(parts));
    }),
  );
});
