import { isUtf8 } from "node:buffer";
import { JsonScan, watchKeys } from "../json-scan.ts";

const scan = new JsonScan(watchKeys([]));

/** Parses a JSON object of a provider, of bounded depth; undefined when it is none. */
export function readPayload(bytes: Buffer): Record<string, unknown> | undefined {
  // What is nested deeper would be too deep for those who write it anew.
  if (!isUtf8(bytes) || !scan.scan(bytes, 0, bytes.length)) return undefined;
  return JSON.parse(bytes.toString("utf8")) as Record<string, unknown>;
}
