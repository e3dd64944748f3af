import { HOST } from "../../cli/up/layout.ts";
import type { RunningContender } from "./contenders/contender.ts";
import { createPrompt, PATHS, type PromptOptions, type WireFormat } from "./prompts.ts";

/** What an answer in one piece of each format says that it is. */
const MARKS: Readonly<Record<WireFormat, RegExp>> = {
  "chat-completions": /"object":\s*"chat\.completion"/,
  messages: /"type":\s*"message"/,
  responses: /"object":\s*"response"/,
  embeddings: /"object":\s*"embedding"/,
};

/** Asks a contender once. Throws, with its answer, when that is no good one or not of the prompt's format. */
export async function checkAnswer(
  { name, port, headers }: Pick<RunningContender, "name" | "port" | "headers">,
  prompt: PromptOptions,
): Promise<void> {
  const { format = "chat-completions" } = prompt;
  const pairs = ["content-type: application/json", ...headers].map((header): [string, string] => {
    const colon = header.indexOf(":");
    return [header.slice(0, colon), header.slice(colon + 1).trim()];
  });
  const body = createPrompt(prompt);
  const answer = await fetch(`http://${HOST}:${port}${PATHS[format]}`, { method: "POST", headers: pairs, body });
  const text = await answer.text();
  const said = `it answered ${answer.status} when asked for ${format}: ${text.slice(0, 300)}`;
  if (!answer.ok || !MARKS[format].test(text)) throw new Error(`Cannot measure ${name}: ${said}`);
}
