import { Server } from "../../../../gen/weir/policy/v1/policy_pb.ts";

/** Where servers of the OpenAI dialect differ. */
export interface Capabilities {
  /** Whether it takes `stream_options`. Where it refuses them they are not spliced in, and it must tell its usage unasked. */
  readonly takesStreamOptions: boolean;
  /** How it calls the cap on an answer's tokens. */
  readonly outputCap: "max_completion_tokens" | "max_tokens";
  /** Whether it serves the Responses format. */
  readonly servesResponses: boolean;
}

const OPENAI: Capabilities = { takesStreamOptions: true, outputCap: "max_completion_tokens", servesResponses: true };

/**
 * What is known of each (2026-11). vLLM, Groq: https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html,
 * https://console.groq.com/docs/api-reference. Ollama reads `max_tokens` only, and serves Responses without a state:
 * https://docs.ollama.com/api/openai-compatibility. Mistral answers 422 to every field that it does not know, and streams usage
 * unasked: https://docs.mistral.ai/api. DeepSeek: https://api-docs.deepseek.com/api/create-chat-completion. Together:
 * https://docs.together.ai/reference/chat-completions. OpenRouter: https://openrouter.ai/docs/api-reference.
 */
export const CAPABILITIES: ReadonlyMap<Server, Capabilities> = new Map([
  [Server.UNSPECIFIED, OPENAI],
  [Server.OPENAI, OPENAI],
  [Server.VLLM, OPENAI],
  [Server.OLLAMA, { ...OPENAI, outputCap: "max_tokens" }],
  [Server.GROQ, OPENAI],
  [Server.MISTRAL, { takesStreamOptions: false, outputCap: "max_tokens", servesResponses: false }],
  [Server.TOGETHER, { ...OPENAI, outputCap: "max_tokens", servesResponses: false }],
  [Server.DEEPSEEK, { ...OPENAI, outputCap: "max_tokens", servesResponses: false }],
  [Server.OPENROUTER, OPENAI],
  [Server.OTHER, { takesStreamOptions: true, outputCap: "max_tokens", servesResponses: false }],
] as const);

/** What is known of a server; of one that a newer policy names, what OpenAI itself does. */
export function getCapabilities(server: Server): Capabilities {
  return CAPABILITIES.get(server) ?? OPENAI;
}
