import { fromJson, type JsonObject } from "@bufbuild/protobuf";
import { type Policy, PolicySchema } from "../../../gen/weir/policy/v1/policy_pb.ts";

/** A small policy without findings, as proto JSON: two regions, of which only `eu` may use `local`. For tests. */
export function samplePolicyJson() {
  return {
    organisation: "acme",
    regions: [{ id: "eu" }, { id: "us" }],
    providers: [
      {
        id: "global",
        dialect: "DIALECT_OPENAI",
        baseUrl: "https://api.example.com/v1/",
        credential: "k",
        regions: ["eu", "us"],
      },
      { id: "local", dialect: "DIALECT_OPENAI", baseUrl: "http://127.0.0.1:9000/v1", regions: ["eu"] },
    ],
    targets: [
      { id: "global/large", provider: "global", model: "large-1", prices: { input: "2.50", output: "10" } },
      { id: "local/small", provider: "local", model: "small-1", prices: { input: "0", output: "0", reasoning: "0.5" } },
    ],
    models: [
      { id: "large", routes: [{ target: "global/large" }] },
      {
        id: "any",
        routes: [
          { target: "local/small", weight: 3 },
          { target: "global/large", priority: 1 },
        ],
      },
    ],
    organisations: [
      { id: "acme", teams: [{ id: "web", apps: [{ id: "search", environments: ["production", "test"] }] }] },
      { id: "other", teams: [{ id: "ops", apps: [{ id: "desk", environments: ["test"] }] }] },
    ],
    limits: [
      { id: "each-key", per: "LIMIT_PER_KEY", requestsPerMinute: 600 },
      { id: "web", per: "LIMIT_PER_TEAM", requestsPerMinute: 60, tenants: { organisation: "acme", team: "web" } },
    ],
  };
}

/** The sample as a message, after a change to its JSON. */
export function samplePolicy(change: (json: ReturnType<typeof samplePolicyJson>) => void = () => {}): Policy {
  const json = samplePolicyJson();
  change(json);
  return fromJson(PolicySchema, json as unknown as JsonObject);
}
