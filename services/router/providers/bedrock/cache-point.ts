import type { JsonObject, JsonValue } from "@bufbuild/protobuf";

/** Names of the extras that mark where a cached prefix ends: that of Converse, and that of Anthropic, which means the same. */
export const CACHE_EXTRAS: ReadonlySet<string> = new Set(["cachePoint", "cache_control"]);

/**
 * The cache point after a block or tool with such extras (https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html),
 * if they ask for one. Anthropic's mark is understood since without it a cached conversation costs ten times as much.
 */
export function toCachePoint({ cachePoint, cache_control: cacheControl }: JsonObject): JsonObject[] {
  if (isObject(cachePoint)) return [{ cachePoint }];
  if (!isObject(cacheControl)) return [];
  const { ttl } = cacheControl;
  return [{ cachePoint: { type: "default", ...(typeof ttl === "string" && { ttl }) } }];
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
