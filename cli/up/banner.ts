import { formatTable } from "../output.ts";
import { getRouterAdminPort, HOST, REGIONS, type Region } from "./layout.ts";
import type { RunningMesh } from "./up.ts";

/** What `weir up` prints once the mesh takes calls: the endpoints, the demo key, and three commands to copy. */
export function createBanner(mesh: RunningMesh): string {
  const { ports, routers, demoKey, layout, modelProviders } = mesh;
  const http = (port: number) => `http://${HOST}:${port}`;
  const listOperators = (region: Region) =>
    Array.from({ length: routers }, (_, index) => [
      routers === 1 ? `router ${region}, operators` : `router ${region}-${index + 1}, operators`,
      http(getRouterAdminPort(ports, region, index + 1)),
      "/healthz /readyz /metrics",
    ]);
  const eu = http(ports["router-eu"]);
  const body = (stream: string) => `'{"model":"small",${stream}"messages":[{"role":"user","content":"Hello"}]}'`;
  const typed = `'{"input":{"model":"small","messages":[{"role":"ROLE_USER","blocks":[{"text":{"text":"Hello"}}]}]}}'`;
  const provider =
    modelProviders.length > 0
      ? `The example policy uses ${modelProviders.map(({ displayName }) => displayName).join(", then ")}.`
      : "Answers come from the SCRIPTED provider: no model is behind them. Set OPENAI_API_KEY, ANTHROPIC_API_KEY,\nWEIR_OLLAMA_URL or WEIR_VLLM_URL before weir up to use a real one.";
  return `
${formatTable(
  ["what", "where", "for"],
  [
    ["router eu", `${eu}/v1`, "callers: OpenAI base URL, gRPC, gRPC-Web, Connect"],
    ["router us", `${http(ports["router-us"])}/v1`, "callers"],
    ...REGIONS.flatMap(listOperators),
    ["policy", http(ports.policy), "gRPC: policies, keys, snapshots; /metrics"],
    ["metering", http(ports.metering), "gRPC: spend; /metrics"],
    ["audit control", http(ports["audit-control"]), "gRPC: records and proofs of policy and key changes"],
    ["audit eu", http(ports["audit-eu"]), "gRPC: records and proofs of chats in eu"],
    ["audit us", http(ports["audit-us"]), "gRPC: records and proofs of chats in us"],
    ["PostgreSQL", `${HOST}:${ports.postgres}`, "passwords in postgres/passwords.json"],
    [
      "NATS hub, eu, us",
      `${HOST}:${ports["nats-hub"]}, ${ports["nats-eu"]}, ${ports["nats-us"]}`,
      "passwords in nats/passwords.json",
    ],
    ["scripted provider", http(ports.provider), "GET /bill shows what it was asked"],
  ],
)}

${provider}

Demo key (kept in ${layout.demoKey}):

  ${demoKey}

A chat, a stream, and the typed API as Connect (the same port speaks gRPC):

  curl ${eu}/v1/chat/completions -H 'authorization: Bearer ${demoKey}' -H 'content-type: application/json' -d ${body("")}

  curl -N ${eu}/v1/chat/completions -H 'authorization: Bearer ${demoKey}' -H 'content-type: application/json' -d ${body('"stream":true,')}

  curl ${eu}/weir.router.v1.ChatService/Complete -H 'authorization: Bearer ${demoKey}' -H 'content-type: application/json' -d ${typed}

Logs are in ${layout.logs}. Ctrl-C stops everything.`;
}
