import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { ChatInputSchema } from "../../../gen/weir/router/v1/chat_pb.ts";
import { listOfferedTools } from "./offered-tools.ts";
import { findSurface } from "./surfaces.ts";

function relayed(path: string, json: string): string[] {
  return listOfferedTools(findSurface(path)!.scan(Buffer.from(json)).request);
}

const chat = (rest: string) => relayed("/v1/chat/completions", `{"model":"m","messages":[{}],${rest}}`);
const messages = (rest: string) => relayed("/v1/messages", `{"model":"m","max_tokens":1,"messages":[{}],${rest}}`);
const responses = (rest: string) => relayed("/v1/responses", `{"model":"m","input":"a",${rest}}`);

function typed(input: MessageInitShape<typeof ChatInputSchema>): string[] {
  return listOfferedTools({ format: undefined, input: create(ChatInputSchema, input) });
}

describe("listOfferedTools()", () => {
  it.each([
    ['"n":1', []],
    ['"tools":null', []],
    ['"tools":[{"type":"function","function":{"name":"a"}},{"type":"custom","custom":{"name":"b"}}]', ["a", "b"]],
    ['"functions":[{"name":"old"}]', ["old"]],
    ['"web_search_options":{}', ["web_search"]],
    ['"tools":[{"type":"function","function":{"n\\u0061me":"a"}}]', ["a"]],
    ['"tools":[{"type":"function","function":{}},7,null]', ["", "", ""]],
    ['"tools":[{"function":{"name":"a","parameters":{"ID":{},"id":{}}}}]', ["a"]],
  ])("finds in chat completions with %s the tools %j", (rest, names) => {
    expect(chat(rest)).toEqual(names);
  });

  it("finds tools that a provider runs by name, and MCP servers, in messages", () => {
    expect(
      messages(
        '"tools":[{"name":"a"},{"type":"web_search_20250305","name":"web_search"}],"mcp_servers":[{"name":"crm"}]',
      ),
    ).toEqual(["a", "web_search", "crm"]);
  });

  it("finds functions by name, other tools by type, and stored prompts, in responses", () => {
    expect(
      responses('"tools":[{"type":"function","name":"a"},{"type":"file_search"}],"prompt":{"id":"pmpt_1"}'),
    ).toEqual(["a", "file_search", "prompt"]);
  });

  it.each([
    '"tools":[],"tools":[{"name":"a"}]',
    '"Tools":[{"name":"a"}]',
    '"t\\u006fols":[{"name":"a"}]',
    '"tools":[{"type":"function","function":{"name":"a","name":"b"}}]',
    '"tools":[{"type":"function","function":{"name":"a"},"function":{"name":"b"}}]',
    '"tools":[{"type":"function","function":{"name":"a","Name":"b"}}]',
    '"tools":[{"type":"function","function":{"name":"a","n\\u0061me":"b"}}]',
    '"tools":{"name":"a"}',
  ])("refuses %s, which a provider might read otherwise", (rest) => {
    expect(() => chat(rest)).toThrow(expect.objectContaining({ reason: "ARGUMENT_INVALID" }));
  });

  it("finds the tools of a typed request, those in extras too", () => {
    expect(typed({ tools: [{ name: "a" }], extras: { tools: [{ type: "web_search" }] } })).toEqual(["a", "web_search"]);
  });

  it("refuses a typed tool whose extras give it another name", () => {
    expect(() => typed({ tools: [{ name: "a", extras: { name: "b" } }] })).toThrow("must not be there");
  });
});
