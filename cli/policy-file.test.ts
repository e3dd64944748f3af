import { describe, expect, it } from "vitest";
import { toPolicy } from "./policy-file.ts";
import { createExamplePolicy } from "./up/example-policy.ts";

describe("toPolicy()", () => {
  it("refuses a field that a policy does not have", () => {
    expect(() => toPolicy({ organisation: "demo", limitz: [] }, "p")).toThrow(/"p".*limitz/);
  });
});

describe("createExamplePolicy()", () => {
  it("is a policy, with the scripted provider at its port", () => {
    const policy = toPolicy(createExamplePolicy(7999, []), "example");

    expect(policy.providers.map(({ baseUrl }) => baseUrl)).toEqual([
      "http://127.0.0.1:7999/v1",
      "http://127.0.0.1:7999/v1",
    ]);
  });

  it("puts real providers in its place, the later ones as fallbacks", () => {
    const model = { name: "m", input: "1", output: "2" };
    const policy = toPolicy(
      createExamplePolicy(7999, [
        { id: "openai", displayName: "", baseUrl: "https://a.example/v1", small: model, large: model },
        { id: "ollama", displayName: "", baseUrl: "http://127.0.0.1:1/v1", small: model, large: model },
      ]),
      "example",
    );

    expect(policy.models[0]?.routes.map(({ target, priority }) => [target, priority])).toEqual([
      ["openai/small", 0],
      ["ollama/small", 1],
    ]);
    expect(policy.providers.flatMap(({ regions }) => regions)).toEqual(["eu", "us", "eu", "us"]);
  });
});
