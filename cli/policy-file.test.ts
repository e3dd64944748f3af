import { describe, expect, it } from "vitest";
import { parsePolicy, toPolicy } from "./policy-file.ts";
import { createExamplePolicy } from "./up/example-policy.ts";

describe("parsePolicy()", () => {
  it("reads YAML in the form of proto JSON", () => {
    const policy = parsePolicy("organisation: demo\nregions:\n  - id: eu\n", "p.yaml");

    expect(policy.organisation).toBe("demo");
    expect(policy.regions.map(({ id }) => id)).toEqual(["eu"]);
  });

  it("refuses a field that a policy does not have", () => {
    expect(() => parsePolicy("organisation: demo\nlimitz: []\n", "p.yaml")).toThrow(/p\.yaml.*limitz/);
  });

  it("refuses a price that is a number, which could not be exact", () => {
    expect(() => parsePolicy("targets: [{ id: a, prices: { input: 0.15 } }]", "p.yaml")).toThrow(/input/);
  });

  it("says line and column of broken YAML", () => {
    expect(() => parsePolicy("regions:\n  - id: [eu\n", "p.yaml")).toThrow(/line 3, column 1/);
  });

  it("refuses duplicate keys, alias bombs and unknown tags", () => {
    const bomb = `a: &a [x,x,x,x,x,x,x,x,x]\n${[..."bcdefg"]
      .map((name, index) => `${name}: &${name} [${Array(9).fill(`*${"abcdefg"[index]}`)}]`)
      .join("\n")}\n`;

    expect(() => parsePolicy("organisation: a\norganisation: b\n", "p.yaml")).toThrow(/unique/);
    expect(() => parsePolicy(bomb, "p.yaml")).toThrow(/alias/i);
    expect(() => parsePolicy("organisation: !!js/function x\n", "p.yaml")).toThrow(/tag/i);
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
