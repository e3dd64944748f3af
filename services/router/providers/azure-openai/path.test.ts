import { expect, it } from "vitest";
import type { Format } from "../dialect.ts";
import { toAzurePath } from "./path.ts";

const toPath = (path: string, format: Format, apiVersion: string) =>
  toAzurePath(path, format, { model: "my gpt/4", streamed: false, settings: { apiVersion, cloudRegion: "" } });

it.each<[string, string, Format, string]>([
  ["", "/chat/completions", "chat-completions", "/openai/v1/chat/completions"],
  ["v1", "/chat/completions", "chat-completions", "/openai/v1/chat/completions"],
  ["preview", "/responses", "responses", "/openai/v1/responses?api-version=preview"],
  [
    "2024-10-21",
    "/chat/completions",
    "chat-completions",
    "/openai/deployments/my%20gpt%2F4/chat/completions?api-version=2024-10-21",
  ],
  ["2024-10-21", "/embeddings", "embeddings", "/openai/deployments/my%20gpt%2F4/embeddings?api-version=2024-10-21"],
  ["2025-04-01-preview", "/responses", "responses", "/openai/responses?api-version=2025-04-01-preview"],
])("with API version %j Azure serves %s", (apiVersion, path, format, expected) => {
  expect(toPath(path, format, apiVersion)).toBe(expected);
});
