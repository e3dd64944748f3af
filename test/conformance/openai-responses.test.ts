// The official `openai` client asks for responses: of a provider that serves them (relay), of one that only knows chat completions,
// and of Anthropic and Gemini (translation). What its users see must be the same.
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Mesh, startMesh } from "../mesh.ts";
import { createConformancePolicy, failingModel, MODELS } from "./policy.ts";
import { SIGNATURE, TEXT_PIECES } from "./provider/answer.ts";
import { type Command, writeCommand } from "./provider/command.ts";
import { type ConformanceProvider, startConformanceProvider } from "./provider/provider.ts";

const TEXT = TEXT_PIECES.join("");
const TOOLS: OpenAI.Responses.FunctionTool[] = ["lookup", "measure"].map((name) => ({
  type: "function",
  name,
  parameters: { type: "object", properties: {} },
  strict: false,
}));
const ALL = Object.values(MODELS);
/** Those that are asked in another format than the caller's. */
const TRANSLATED = [MODELS.plain, MODELS.anthropic, MODELS.gemini];

let provider: ConformanceProvider;
let mesh: Mesh;
let client: OpenAI;

beforeAll(async () => {
  provider = await startConformanceProvider();
  mesh = await startMesh({ name: "responses", policy: createConformancePolicy(provider.address) });
  client = new OpenAI({ apiKey: mesh.key, baseURL: `${mesh.routerUrl("eu")}/v1`, maxRetries: 0, timeout: 10_000 });
});

afterAll(async () => {
  await mesh?.stop();
  await provider?.close();
});

function ask(command: Partial<Command> = {}): string {
  return `How deep is the river? ${writeCommand(command)}`;
}

/** What was answered, to be sent back: the types of both differ in items that no one here has. */
function toInput(output: readonly OpenAI.Responses.ResponseOutputItem[]): OpenAI.Responses.ResponseInputItem[] {
  return output as unknown as OpenAI.Responses.ResponseInputItem[];
}

async function failureOf(call: PromiseLike<unknown>): Promise<unknown> {
  return call.then(
    () => Promise.reject(new Error("Cannot find a failure: the call succeeded")),
    (error: unknown) => error,
  );
}

async function readAll(model: string, command: Partial<Command>): Promise<OpenAI.Responses.ResponseStreamEvent[]> {
  const stream = await client.responses.create({ model, input: ask(command), stream: true });
  const events: OpenAI.Responses.ResponseStreamEvent[] = [];
  for await (const event of stream) events.push(event);
  return events;
}

describe.each(ALL)("a response in one piece, of %s,", (model) => {
  it("has text, usage and an end", async () => {
    const response = await client.responses.create({ model, input: ask() });

    expect(response.status).toBe("completed");
    expect(response.output_text).toBe(TEXT);
    expect(response.usage).toMatchObject({ input_tokens: 16, output_tokens: 7, total_tokens: 23 });
    expect(response.usage?.input_tokens_details.cached_tokens).toBe(5);
  });

  it("carries parallel calls of functions, and their outputs back", async () => {
    const question: OpenAI.Responses.ResponseInputItem = { role: "user", content: ask({ answer: "tools" }) };
    const first = await client.responses.create({ model, input: [question], tools: TOOLS, instructions: "Be brief." });
    const calls = first.output.filter((item) => item.type === "function_call");
    const outputs = calls.map(({ call_id }) => ({
      type: "function_call_output" as const,
      call_id,
      output: "4 metres",
    }));

    const second = await client.responses.create({
      model,
      input: [question, ...toInput(first.output), ...outputs, { role: "user", content: ask() }],
      tools: TOOLS,
    });

    expect(calls.map(({ name, arguments: input }) => [name, JSON.parse(input)])).toEqual([
      ["lookup", { question: "how deep — 🌊" }],
      ["measure", { metres: 4 }],
    ]);
    expect(second.output_text).toBe(TEXT);
    expect(provider.calls.at(-1)?.asked.turns.map(({ kind }) => kind)).toEqual([
      "user",
      "assistant",
      "tool use",
      "tool use",
      "tool result",
      "tool result",
      "user",
    ]);
  });

  it("is incomplete when it was cut by its cap", async () => {
    const response = await client.responses.create({ model, input: ask({ answer: "length" }) });

    expect(response.status).toBe("incomplete");
    expect(response.incomplete_details).toEqual({ reason: "max_output_tokens" });
  });

  it.each([
    [500, 502],
    [429, 429],
    [400, 400],
  ] as const)("is the client's own error when the provider says %i", async (status, seen) => {
    const input = ask({ fault: "status", status });
    const error = await failureOf(client.responses.create({ model: failingModel(model, status), input }));

    expect(error).toBeInstanceOf(OpenAI.APIError);
    expect(error).toMatchObject({ status: seen });
  });
});

describe.each(ALL)("a streamed response, of %s,", (model) => {
  it("is put together by the client's own helper", async () => {
    const deltas: string[] = [];
    const stream = client.responses.stream({ model, input: ask() });
    stream.on("response.output_text.delta", ({ delta }) => deltas.push(delta));

    const response = await stream.finalResponse();

    expect(deltas.join("")).toBe(TEXT);
    expect(deltas.length).toBeGreaterThan(1);
    expect(response).toMatchObject({ status: "completed", output_text: TEXT });
    expect(response.usage).toMatchObject({ input_tokens: 16, output_tokens: 7 });
  });

  it("has rising numbers and one end, which is the last", async () => {
    const events = await readAll(model, { answer: "tools" });

    expect(events.map(({ sequence_number }) => sequence_number)).toEqual(events.map((_, at) => at));
    expect(events.filter(({ type }) => type === "response.completed")).toHaveLength(1);
    expect(events.at(-1)?.type).toBe("response.completed");
  });

  it("carries parallel calls of functions", async () => {
    const stream = client.responses.stream({ model, input: ask({ answer: "tools" }), tools: TOOLS });

    const response = await stream.finalResponse();

    expect(response.output.map((item) => (item.type === "function_call" ? item.name : item.type))).toEqual([
      "message",
      "lookup",
      "measure",
    ]);
  });

  it("gives a refusal and a cap as they are", async () => {
    const refused = await client.responses.stream({ model, input: ask({ answer: "refusal" }) }).finalResponse();
    const cut = await client.responses.stream({ model, input: ask({ answer: "length" }) }).finalResponse();

    // Gemini declines without a word.
    if (model === MODELS.gemini) expect(refused.incomplete_details).toEqual({ reason: "content_filter" });
    else expect(JSON.stringify(refused.output)).toContain("I can't help with that.");
    expect(cut).toMatchObject({ status: "incomplete", incomplete_details: { reason: "max_output_tokens" } });
  });

  it.each(["cut", "end", "malformed", "error"] as const)(
    "breaks with an error and not with what looks like an end: %s",
    async (fault) => {
      expect(await failureOf(readAll(failingModel(model, fault), { fault, events: 2 }))).toBeInstanceOf(
        OpenAI.APIError,
      );
    },
  );

  it("is an error with a status of its own when it breaks before content", async () => {
    const error = await failureOf(
      client.responses.create({
        model: failingModel(model, 500),
        input: ask({ fault: "error", events: 0 }),
        stream: true,
      }),
    );

    expect(error).toMatchObject({ status: 502 });
  });
});

describe("reasoning", () => {
  it.each([MODELS.anthropic, MODELS.gemini])("goes back to %s with its signature, byte for byte", async (model) => {
    const question = { role: "user" as const, content: ask({ answer: "reasoning" }) };
    const first = await client.responses.stream({ model, input: [question] }).finalResponse();

    await client.responses.create({
      model,
      input: [question, ...toInput(first.output), { role: "user", content: ask() }],
    });

    expect(provider.calls.at(-1)?.asked.turns).toContainEqual({
      kind: "reasoning",
      // Gemini signs what comes after its thoughts, and takes the thoughts themselves not back.
      text: model === MODELS.gemini ? "" : "Water is deep.",
      signature: SIGNATURE,
    });
  });
});

describe("what one account holds", () => {
  it("goes on to a provider that serves responses", async () => {
    const response = await client.responses.create({
      model: MODELS.openai,
      input: ask(),
      previous_response_id: "resp_1",
      store: true,
    });

    expect(response.status).toBe("completed");
    expect(JSON.parse(provider.calls.at(-1)!.body)).toMatchObject({ previous_response_id: "resp_1", store: true });
  });

  it.each(TRANSLATED)("is refused by the name of the field where it can't be said: %s", async (model) => {
    const taken = provider.calls.length;

    const error = await failureOf(client.responses.create({ model, input: ask(), previous_response_id: "resp_1" }));

    expect(error).toBeInstanceOf(OpenAI.BadRequestError);
    expect(error).toMatchObject({ param: "previous_response_id" });
    expect(provider.calls.length).toBe(taken);
  });

  it("is refused when it is to go on in the background", async () => {
    const error = await failureOf(client.responses.create({ model: MODELS.openai, input: ask(), background: true }));

    expect(error).toMatchObject({ status: 501, param: "background" });
  });
});
