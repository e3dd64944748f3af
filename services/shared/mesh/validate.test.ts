import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { createClient, createRouterTransport } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { KeyService } from "../../../gen/weir/policy/v1/key_service_pb.ts";
import { MessageSchema, Role } from "../../../gen/weir/router/v1/chat_pb.ts";
import {
  ChatService,
  CompleteRequestSchema,
  CompleteResponseSchema,
} from "../../../gen/weir/router/v1/chat_service_pb.ts";
import { WeirError } from "../errors/weir-error.ts";
import { createMessageCheck, createValidation } from "./validate.ts";

/** What the interceptor throws at a call, seen before it becomes an error of the wire. */
async function violationsOf(call: (transport: ReturnType<typeof createRouterTransport>) => Promise<unknown>) {
  let thrown: unknown;
  const transport = createRouterTransport(
    (router) => {
      router.service(ChatService, { complete: () => create(CompleteResponseSchema) });
      router.service(KeyService, { listKeys: () => ({}) });
    },
    {
      router: {
        interceptors: [
          (next) => async (request) => {
            try {
              return await next(request);
            } catch (error) {
              thrown = error;
              throw error;
            }
          },
          createValidation(),
        ],
      },
    },
  );
  await call(transport).catch(() => undefined);
  return thrown instanceof WeirError ? { reason: thrown.reason, violations: thrown.violations } : undefined;
}

const complete = (input: MessageInitShape<typeof CompleteRequestSchema>["input"]) =>
  violationsOf((transport) => createClient(ChatService, transport).complete({ input }));

describe("createMessageCheck()", () => {
  it("names the first field at fault of a large message, and looks at nothing behind it", () => {
    let looks = 0;
    const silent = Object.defineProperty(create(MessageSchema), "role", {
      enumerable: true,
      get: () => {
        looks += 1;
        return Role.UNSPECIFIED;
      },
    });
    const request = create(CompleteRequestSchema, { input: { model: "a\0", messages: Array(50_000).fill(silent) } });

    const check = () => createMessageCheck()(CompleteRequestSchema, request);

    expect(check).toThrow(
      expect.objectContaining({ violations: [expect.objectContaining({ field: "input.messages[0].role" })] }),
    );
    expect(looks).toBeLessThan(10);
  });
});

describe("createValidation()", () => {
  it("lets through what the proto allows", async () => {
    expect(await complete({ model: "small", messages: [{ role: Role.USER }] })).toBeUndefined();
  });

  it("names fifty fields at fault at most", async () => {
    const refused = await complete({ model: "a\0", messages: Array.from({ length: 60 }, () => ({})) });

    expect(refused?.violations).toHaveLength(50);
  });

  it("names every field at fault at once, by its path", async () => {
    const refused = await complete({ model: "", messages: [{ role: Role.UNSPECIFIED }], candidates: -1 });

    expect(refused?.reason).toBe("ARGUMENT_INVALID");
    expect(refused?.violations.map(({ field }) => field).sort()).toEqual([
      "input.candidates",
      "input.messages[0].role",
      "input.model",
    ]);
  });

  it("finds NUL wherever a string can be: in lists, maps, messages and free-form values", async () => {
    const refused = await complete({
      model: "small",
      messages: [{ role: Role.USER, blocks: [{ content: { case: "text", value: { text: "a\0b" } } }] }],
      sampling: { stopSequences: ["ok", "\0"] },
      extras: { deep: { er: ["\0"] } },
    });

    const fields = refused?.violations.map(({ field }) => field) ?? [];
    expect(fields).toContain("input.messages[0].blocks[0].text.text");
    expect(fields).toContain("input.sampling.stop_sequences[1]");
    expect(fields.some((field) => field.startsWith("input.extras"))).toBe(true);
  });

  it("holds for each service alike", async () => {
    const refused = await violationsOf((transport) =>
      createClient(KeyService, transport).listKeys({ organisation: "A b" }),
    );

    expect(refused?.violations[0]?.field).toBe("organisation");
  });
});
