import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import {
  type ChatInput,
  ChatInputSchema,
  type MessageSchema,
  Role,
  ToolChoiceMode,
} from "../../../../gen/weir/router/v1/chat_pb.ts";
import type { Format } from "../dialect.ts";
import { composeTyped } from "./request.ts";

type Init = MessageInitShape<typeof ChatInputSchema>;

const user = (text: string): MessageInitShape<typeof MessageSchema> => ({
  role: Role.USER,
  blocks: [{ content: { case: "text", value: { text } } }],
});

const toInput = (init: Init): ChatInput => create(ChatInputSchema, { messages: [user("Hi")], ...init });

/** Composes with a policy that drops what can't be said, and tells what was dropped. */
function compose(init: Init, model = "gemini-2.5-pro", from?: Format) {
  const lost: string[] = [];
  const lose = (field: string) => void lost.push(field);
  const asked = {
    model,
    lose,
    leaveOut: (field: string) => lose(`left out: ${field}`),
    ...(from !== undefined && { from }),
  };
  const body = composeTyped(toInput(init), asked);
  return { body: JSON.parse(body.toString()), lost };
}

describe("composeTyped() in the Gemini dialect", () => {
  it("writes a plain chat with nothing beyond its contents", () => {
    const { body, lost } = compose({});

    expect(body).toEqual({ contents: [{ role: "user", parts: [{ text: "Hi" }] }] });
    expect(lost).toEqual([]);
  });

  it("says what the system and the developer say before all else", () => {
    const say = (role: Role, text: string) => ({ ...user(text), role });

    const { body, lost } = compose({ messages: [say(Role.SYSTEM, "A"), say(Role.DEVELOPER, "B"), user("C")] });

    expect(body.systemInstruction).toEqual({ parts: [{ text: "A" }, { text: "B" }] });
    expect(body.contents).toEqual([{ role: "user", parts: [{ text: "C" }] }]);
    expect(lost).toEqual([]);
  });

  it("hands over the place of a system's turn within the conversation", () => {
    const { body, lost } = compose({ messages: [user("A"), { ...user("B"), role: Role.SYSTEM }] });

    expect(lost).toEqual(["messages[1].role"]);
    expect(body.systemInstruction).toEqual({ parts: [{ text: "B" }] });
  });

  it("brings the results of parallel uses together and names their tools", () => {
    const use = (id: string, name: string) => ({
      content: { case: "toolUse" as const, value: { id, name, inputJson: '{"of":"Rome"}' } },
    });
    const result = (toolUseId: string, text: string, failed = false): MessageInitShape<typeof MessageSchema> => ({
      role: Role.TOOL,
      blocks: [
        {
          content: {
            case: "toolResult",
            value: { toolUseId, failed, blocks: [{ content: { case: "text", value: { text } } }] },
          },
        },
      ],
    });

    const { body, lost } = compose({
      messages: [
        user("Weather?"),
        { role: Role.ASSISTANT, blocks: [use("c1", "weather")] },
        { role: Role.ASSISTANT, blocks: [use("c2", "time")] },
        result("c2", '{"id":12345678901234567890}'),
        result("c1", "no such place", true),
        user("And?"),
      ],
    });

    expect(lost).toEqual([]);
    expect(body.contents.slice(1)).toEqual([
      {
        role: "model",
        parts: [
          { functionCall: { id: "c1", name: "weather", args: { of: "Rome" } } },
          { functionCall: { id: "c2", name: "time", args: { of: "Rome" } } },
        ],
      },
      {
        role: "user",
        parts: [
          { functionResponse: { id: "c2", name: "time", response: { output: '{"id":12345678901234567890}' } } },
          { functionResponse: { id: "c1", name: "weather", response: { error: "no such place" } } },
        ],
      },
      { role: "user", parts: [{ text: "And?" }] },
    ]);
  });

  it("keeps all digits of a number in the input of a tool", () => {
    const value = { id: "c", name: "f", inputJson: '{"id":12345678901234567890}' };
    const messages = [{ role: Role.ASSISTANT, blocks: [{ content: { case: "toolUse" as const, value } }] }];

    const body = composeTyped(toInput({ messages }), { model: "gemini-2.5-pro", lose: () => {}, leaveOut: () => {} });

    expect(body.toString()).toContain('"args":{"id":12345678901234567890}');
  });

  it("hands over a result whose use is not in the conversation", () => {
    const value = { toolUseId: "c9", blocks: [] };

    const { lost } = compose({ messages: [{ role: Role.TOOL, blocks: [{ content: { case: "toolResult", value } }] }] });

    expect(lost).toEqual(["messages[0].blocks[0].tool_result.tool_use_id"]);
  });

  it("sends signatures back byte for byte, wherever a caller's format put them", () => {
    const use = { case: "toolUse" as const, value: { id: "c", name: "f", inputJson: "{}" } };

    const { body } = compose({
      messages: [
        {
          role: Role.ASSISTANT,
          blocks: [
            { content: { case: "reasoning", value: { text: "Hm", signature: "~weir-google:Ab+/=" } } },
            { content: use, extras: { thought_signature: "Cd+/==" } },
            { content: use, extras: { extra_content: { google: { thought_signature: "Ef" } } } },
            { content: { case: "text", value: { text: "So" } } },
            { content: { case: "reasoning", value: { signature: "~weir-google:Gh" } } },
          ],
        },
      ],
    });

    expect(body.contents[0].parts).toEqual([
      { text: "Hm", thought: true, thoughtSignature: "Ab+/=" },
      { functionCall: { id: "c", name: "f", args: {} }, thoughtSignature: "Cd+/==" },
      { functionCall: { id: "c", name: "f", args: {} }, thoughtSignature: "Ef" },
      { text: "So" },
      { text: "", thoughtSignature: "Gh" },
    ]);
  });

  it("marks uses of tools that another provider made for models that want signatures, and for no others", () => {
    const use = { content: { case: "toolUse" as const, value: { id: "c", name: "f", inputJson: "{}" } } };
    const messages = [user("?"), { role: Role.ASSISTANT, blocks: [use, use] }];
    const signatures = (model: string) =>
      compose({ messages }, model).body.contents[1].parts.map((part: Record<string, unknown>) => part.thoughtSignature);

    expect(signatures("gemini-3-pro-preview")).toEqual(["skip_thought_signature_validator", undefined]);
    expect(signatures("gemini-2.5-flash")).toEqual([undefined, undefined]);
  });

  it("never says reasoning aloud, and leaves out what another provider signed or encrypted", () => {
    const { body, lost } = compose({
      messages: [
        {
          role: Role.ASSISTANT,
          blocks: [
            { content: { case: "reasoning", value: { text: "Hm", signature: "EqAB" } } },
            { content: { case: "reasoning", value: { redacted: "xyz" } } },
            { content: { case: "reasoning", value: { signature: "EqAB" } } },
          ],
        },
      ],
    });

    expect(body.contents[0].parts).toEqual([{ text: "Hm", thought: true }]);
    expect(lost).toEqual(["left out: messages[0].blocks[1]", "left out: messages[0].blocks[2]"]);
  });

  it("writes pictures and files by bytes, address and id, and hands over what has no place", () => {
    const content = Buffer.from([1, 2, 3]);

    const { body, lost } = compose({
      messages: [
        {
          role: Role.USER,
          blocks: [
            {
              content: {
                case: "image",
                value: { source: { case: "content", value: content }, mediaType: "image/png" },
              },
            },
            { content: { case: "image", value: { source: { case: "url", value: "https://x/y.jpg" }, detail: "low" } } },
            { content: { case: "file", value: { source: { case: "fileId", value: "files/a" }, filename: "a.pdf" } } },
            { content: { case: "file", value: { source: { case: "fileId", value: "file-abc" } } } },
            { content: { case: "image", value: { source: { case: "content", value: content } } } },
          ],
        },
      ],
    });

    expect(body.contents[0].parts).toEqual([
      { inlineData: { mimeType: "image/png", data: "AQID" } },
      { fileData: { fileUri: "https://x/y.jpg" } },
      { fileData: { fileUri: "https://generativelanguage.googleapis.com/v1beta/files/a" } },
    ]);
    expect(lost).toEqual([
      "messages[0].blocks[1].image.detail",
      "messages[0].blocks[2].file.filename",
      "messages[0].blocks[3].file.file_id",
      "messages[0].blocks[4].image.media_type",
    ]);
  });

  it("writes pictures in a tool's result beside its text", () => {
    const image = { source: { case: "content" as const, value: Buffer.from([1]) }, mediaType: "image/png" };
    const blocks = [
      { content: { case: "text" as const, value: { text: "a" } } },
      { content: { case: "text" as const, value: { text: "b" } } },
      { content: { case: "image" as const, value: image } },
    ];

    const { body } = compose({
      messages: [
        { role: Role.ASSISTANT, blocks: [{ content: { case: "toolUse", value: { id: "c", name: "f" } } }] },
        { role: Role.USER, blocks: [{ content: { case: "toolResult", value: { toolUseId: "c", blocks } } }] },
      ],
    });

    expect(body.contents[1].parts).toEqual([
      {
        functionResponse: {
          id: "c",
          name: "f",
          response: { output: ["a", "b"] },
          parts: [{ inlineData: { mimeType: "image/png", data: "AQ==" } }],
        },
      },
    ]);
  });

  it("writes tools with their schemas as they are, and holds the model to them when one is strict", () => {
    const tool = { name: "f", description: "d", inputSchemaJson: '{"type":"object","$defs":{}}' };

    const { body, lost } = compose({ tools: [tool, { name: "g", strict: true }] });

    expect(body.tools).toEqual([
      {
        functionDeclarations: [
          { name: "f", description: "d", parametersJsonSchema: { type: "object", $defs: {} } },
          { name: "g" },
        ],
      },
    ]);
    expect(body.toolConfig).toEqual({ functionCallingConfig: { mode: "VALIDATED" } });
    expect(lost).toEqual([]);
  });

  it.each([
    [{ case: "mode", value: ToolChoiceMode.AUTO }, { mode: "AUTO" }],
    [{ case: "mode", value: ToolChoiceMode.NONE }, { mode: "NONE" }],
    [{ case: "mode", value: ToolChoiceMode.ANY }, { mode: "ANY" }],
    [
      { case: "tool", value: "f" },
      { mode: "ANY", allowedFunctionNames: ["f"] },
    ],
  ] as const)("writes the choice %j as %j", (choice, expected) => {
    const { body } = compose({ toolChoice: { choice } });

    expect(body.toolConfig).toEqual({ functionCallingConfig: expected });
  });

  it("writes all of generationConfig", () => {
    const { body, lost } = compose({
      maxOutputTokens: 100n,
      candidates: 2,
      sampling: {
        temperature: 0.5,
        topP: 0.9,
        topK: 40n,
        stopSequences: ["x"],
        seed: 7n,
        frequencyPenalty: 1,
        presencePenalty: -1,
      },
      responseFormat: {
        form: {
          case: "jsonSchema",
          value: { name: "n", description: "d", schemaJson: '{"type":"object"}', strict: true },
        },
      },
    });

    expect(body.generationConfig).toEqual({
      maxOutputTokens: 100,
      candidateCount: 2,
      temperature: 0.5,
      topP: 0.9,
      topK: 40,
      stopSequences: ["x"],
      seed: 7,
      frequencyPenalty: 1,
      presencePenalty: -1,
      responseMimeType: "application/json",
      responseJsonSchema: { title: "n", description: "d", type: "object" },
    });
    expect(lost).toEqual([]);
  });

  it.each([
    ["gemini-2.5-flash", { effort: "low" }, { includeThoughts: true, thinkingBudget: 1024 }],
    ["gemini-2.5-flash", { effort: "none" }, { thinkingBudget: 0 }],
    ["gemini-2.5-pro", { maxTokens: 99n }, { includeThoughts: true, thinkingBudget: 99 }],
    ["gemini-3-pro", { effort: "high" }, { includeThoughts: true, thinkingLevel: "HIGH" }],
    ["gemini-flash-latest", { effort: "minimal" }, { includeThoughts: true, thinkingLevel: "MINIMAL" }],
  ])("asks %s for reasoning as it can be asked (%#)", (model, reasoning, expected) => {
    const { body, lost } = compose({ reasoning }, model);

    expect(body.generationConfig).toEqual({ thinkingConfig: expected });
    expect(lost).toEqual([]);
  });

  it.each([
    ["gemini-3-pro", { effort: "none" }],
    ["gemini-3-pro", { effort: "xhigh" }],
    ["gemini-2.0-flash", { effort: "low" }],
    ["gemini-2.5-pro", { effort: "low", maxTokens: 5n }],
  ])("hands over reasoning that %s can't be asked for (%#)", (model, reasoning) => {
    expect(compose({ reasoning }, model).lost).toEqual(["reasoning.effort"]);
  });

  it("lets extras of its own through and hands over those of other dialects, wherever they stand", () => {
    const { body, lost } = compose({
      extras: {
        safetySettings: [{ category: "HARM_CATEGORY_HARASSMENT", threshold: "BLOCK_NONE" }],
        generationConfig: { responseModalities: ["TEXT"], topK: 3, thinkingConfig: { includeThoughts: true } },
        toolConfig: { retrievalConfig: { languageCode: "de" } },
        tools: [{ googleSearch: {} }, { type: "web_search" }],
        logprobs: true,
        store: null,
      },
      endUser: "u",
      tools: [{ name: "f", extras: { cache_control: {} } }],
      toolChoice: { choice: { case: "mode", value: ToolChoiceMode.AUTO }, single: true },
      sampling: { seed: 2n ** 40n },
      messages: [
        {
          role: Role.USER,
          name: "bob",
          extras: { weight: 1 },
          blocks: [{ content: { case: "text", value: { text: "a" } }, extras: { cache_control: {} } }],
        },
      ],
    });

    expect(body).toEqual({
      safetySettings: [{ category: "HARM_CATEGORY_HARASSMENT", threshold: "BLOCK_NONE" }],
      contents: [{ role: "user", parts: [{ text: "a" }] }],
      tools: [{ functionDeclarations: [{ name: "f" }] }, { googleSearch: {} }],
      toolConfig: { retrievalConfig: { languageCode: "de" }, functionCallingConfig: { mode: "AUTO" } },
      generationConfig: { responseModalities: ["TEXT"], thinkingConfig: { includeThoughts: true } },
    });
    expect(lost.sort()).toEqual(
      [
        "end_user",
        'extras["generationConfig"].topK',
        'extras["logprobs"]',
        'extras["tools"][1]',
        'messages[0].blocks[0].extras["cache_control"]',
        'messages[0].extras["weight"]',
        "messages[0].name",
        "sampling.seed",
        "tool_choice.single",
        'tools[0].extras["cache_control"]',
      ].sort(),
    );
  });

  it("takes no extra of another format for one of its own that has the same name", () => {
    const { body, lost } = compose(
      { extras: { store: true, tools: [{ x: 1 }] } },
      "gemini-2.5-pro",
      "chat-completions",
    );

    expect(Object.keys(body)).toEqual(["contents"]);
    expect(lost).toEqual(['extras["store"]', 'extras["tools"]']);
  });

  it("takes signatures that came as reasoning without words back to their parts, whatever text stands between", () => {
    const use = { content: { case: "toolUse" as const, value: { id: "c", name: "f", inputJson: "{}" } } };
    const signature = (value: string) => ({
      content: { case: "reasoning" as const, value: { signature: `~weir-google:${value}` } },
    });
    const said = { content: { case: "text" as const, value: { text: "So" } } };
    const turn = (...blocks: object[]) => ({ role: Role.ASSISTANT, blocks: blocks as never });
    const call = { functionCall: { id: "c", name: "f", args: {} } };

    const parts = (...turns: ReturnType<typeof turn>[]) => compose({ messages: turns }).body.contents[0].parts;

    expect(parts(turn(signature("A"), use, use))).toEqual([{ ...call, thoughtSignature: "A" }, call]);
    expect(parts(turn(signature("A"), said, use))).toEqual([{ text: "So" }, { ...call, thoughtSignature: "A" }]);
    expect(parts(turn(signature("A")), turn(use))).toEqual([{ ...call, thoughtSignature: "A" }]);
    expect(parts(turn(said, signature("A"), signature("B"), use))).toEqual([
      { text: "So" },
      { text: "", thoughtSignature: "A" },
      { ...call, thoughtSignature: "B" },
    ]);
    expect(parts(turn(said, signature("A"), said))).toEqual([
      { text: "So" },
      { text: "", thoughtSignature: "A" },
      { text: "So" },
    ]);
  });

  it("stops at what the policy does not let drop", () => {
    const input = toInput({ endUser: "u" });
    const lose = (field: string) => {
      throw new Error(field);
    };

    expect(() => composeTyped(input, { model: "gemini-2.5-pro", lose, leaveOut: lose })).toThrow("end_user");
  });

  it.each(["nonsense", "[1]", `${'{"a":'.repeat(300)}1${"}".repeat(300)}`])(
    "hands over input that is no object: %.20s",
    (inputJson) => {
      const { body, lost } = compose({
        messages: [
          {
            role: Role.ASSISTANT,
            blocks: [{ content: { case: "toolUse", value: { id: "c", name: "f", inputJson } } }],
          },
        ],
      });

      expect(lost).toEqual(["messages[0].blocks[0].tool_use.input_json"]);
      expect(body.contents[0].parts[0].functionCall.args).toEqual({});
    },
  );
});
