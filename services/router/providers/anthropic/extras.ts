import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import type { TypedAsk } from "../dialect.ts";

/**
 * What is meant for this dialect among extras: all of a caller who wrote messages, or typed messages. Of those of another format only
 * what both know by one name and with one of the given values; the rest is lost, name by name. `path` is that of the message they
 * stand in, empty for the request.
 */
export function keepExtras(
  extras: JsonObject | undefined,
  path: string,
  asked: TypedAsk,
  known: Readonly<Record<string, readonly JsonValue[]>> = {},
): JsonObject | undefined {
  if (extras === undefined || isMeantForUs(asked)) return extras;
  const kept: JsonObject = {};
  for (const [name, value] of Object.entries(extras)) {
    if (Object.hasOwn(known, name) && known[name]!.includes(value)) kept[name] = value;
    else asked.lose(`${path === "" ? "" : `${path}.`}extras["${name}"]`, "is not known to the Anthropic dialect");
  }
  return kept;
}

/** Whether the caller wrote for this dialect: messages, or typed messages. */
export function isMeantForUs({ from }: TypedAsk): boolean {
  return from === undefined || from === "messages";
}
