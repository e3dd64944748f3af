import { describe, expect, it } from "vitest";
import { Server } from "../../../../gen/weir/policy/v1/policy_pb.ts";
import { scanRequest } from "../../arrival/chat-completions/scan.ts";
import type { BodyAllocator, RelayedRequest } from "../dialect.ts";
import { getCapabilities } from "./capabilities.ts";
import { composeRelayed as composeFor } from "./request.ts";

const fresh = { allocate: (size: number) => Buffer.alloc(size) };
const composeRelayed = (
  request: RelayedRequest,
  model: string,
  allocator: BodyAllocator,
  server: Server = Server.OPENAI,
) => composeFor(request, model, allocator, getCapabilities(server));
const compose = (text: string, model = 'up"stream') =>
  composeRelayed(scanRequest(Buffer.from(text)).request, model, fresh).toString();

describe("composeRelayed()", () => {
  it("puts the target's model in place of the one asked for and leaves every other byte", () => {
    expect(compose('{ "x":1.50, "model" : "small" ,"messages":[{"content":"small"}],"y":{"é":"\\u00e9"}}')).toBe(
      '{ "x":1.50, "model" : "up\\"stream" ,"messages":[{"content":"small"}],"y":{"é":"\\u00e9"}}',
    );
  });

  it("writes a model that fits in the place of the one asked for, without a copy, and another one there later", () => {
    const { request } = scanRequest(Buffer.from('{"model":"medium","messages":[1]}'));

    const first = composeRelayed(request, "tiny", fresh);
    expect(first).toBe(request.bytes);
    expect(first.toString()).toBe('{"model":"tiny"  ,"messages":[1]}');
    expect(composeRelayed(request, "médium", fresh).toString()).toBe('{"model":"médium","messages":[1]}');
    expect(composeRelayed(request, "medium", fresh).toString()).toBe('{"model":"medium","messages":[1]}');
  });

  it("asks for the usage of a stream when the caller did not", () => {
    expect(compose('{"stream":true,"messages":[1],"model":"small"}')).toBe(
      '{"stream":true,"messages":[1],"model":"up\\"stream","stream_options":{"include_usage":true}}',
    );
  });

  it("leaves the other options of a stream alone, wherever they stand", () => {
    expect(
      compose('{"stream_options":{"include_usage":false,"x":1},"stream":true,"model":"small","messages":[1]}'),
    ).toBe('{"stream_options":{"include_usage":true,"x":1},"stream":true,"model":"up\\"stream","messages":[1]}');
    expect(compose('{"model":"small","messages":[1],"stream":true,"stream_options":null}')).toBe(
      '{"model":"up\\"stream","messages":[1],"stream":true,"stream_options":{"include_usage":true}}',
    );
  });

  it("changes nothing of the options when the caller asked for usage itself, or for no stream", () => {
    const asked = '"stream_options": { "include_usage" : true }';
    expect(compose(`{"model":"small","messages":[1],"stream":true,${asked}}`)).toContain(asked);
    expect(compose('{"model":"small","messages":[1],"stream":false}')).not.toContain("stream_options");
  });
});

describe("composeRelayed() for servers that differ", () => {
  const other = (text: string, server: Server) => {
    const { request } = scanRequest(Buffer.from(text));
    const before = request.bytes.toString();
    const composed = composeRelayed(request, "m", fresh, server).toString();
    return { composed, before, after: request.bytes.toString() };
  };

  it("splices no options into a stream for one that refuses them", () => {
    const { composed } = other('{"model":"small","messages":[1],"stream":true}', Server.MISTRAL);

    expect(JSON.parse(composed)).toEqual({ model: "m", messages: [1], stream: true });
  });

  it("writes the cap under its older name, and leaves the caller's bytes for others as they are", () => {
    const { composed, before, after } = other(
      '{"model":"small","max_completion_tokens" : 5,"messages":[1]}',
      Server.OLLAMA,
    );

    expect(JSON.parse(composed)).toEqual({ model: "m", max_tokens: 5, messages: [1] });
    expect(after).toBe(before);
  });

  it("leaves out the newer name where both stand", () => {
    const { composed } = other(
      '{"model":"s","messages":[1],"max_tokens":4,"max_completion_tokens":5}',
      Server.TOGETHER,
    );

    expect(JSON.parse(composed)).toEqual({ model: "m", messages: [1], max_tokens: 4 });
  });
});
