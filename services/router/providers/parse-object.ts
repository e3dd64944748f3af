import type { JsonObject } from "@bufbuild/protobuf";
import { parseExact } from "./exact-json.ts";
import { JsonScan, watchKeys } from "./json-scan.ts";

const scan = new JsonScan(watchKeys([]));

/**
 * Parses a JSON object that somebody wrote as text, such as the input of a tool; its numbers are written again as they came. Undefined when it is none,
 * or is nested too deep.
 */
export function parseObject(json: string): JsonObject | undefined {
  const bytes = Buffer.from(json);
  return scan.scan(bytes, 0, bytes.length) ? (parseExact(json) as JsonObject) : undefined;
}
