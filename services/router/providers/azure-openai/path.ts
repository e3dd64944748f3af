import type { AnswerFormat, Format } from "../dialect.ts";

/**
 * Where Azure serves what OpenAI serves at `path`. With a dated API version
 * (https://learn.microsoft.com/azure/ai-foundry/openai/reference) the deployment stands in the path, but for Responses, which reads it
 * from the body. Without a version, or with one of the v1 API's own, such as "preview"
 * (https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle), the paths are OpenAI's.
 */
export function toAzurePath(
  path: string,
  format: Format,
  { model, settings: { apiVersion } }: Parameters<AnswerFormat["toPath"]>[0],
): string {
  const query = apiVersion === "" || apiVersion === "v1" ? "" : `?api-version=${encodeURIComponent(apiVersion)}`;
  if (!/^\d/.test(apiVersion)) return `/openai/v1${path}${query}`;
  const deployment = format === "responses" ? "" : `/deployments/${encodeURIComponent(model)}`;
  return `/openai${deployment}${path}${query}`;
}
