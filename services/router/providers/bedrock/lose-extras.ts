import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import type { TypedAsk } from "../dialect.ts";

/**
 * Takes from extras what `known` names; everything else is lost, name by name. `path` is that of what has the extras, such as
 * `messages[0]`, empty for the request. What is null, false or empty says nothing, and is not missed.
 */
export function takeExtras(
  extras: JsonObject | undefined,
  known: ReadonlySet<string>,
  path: string,
  { lose }: Pick<TypedAsk, "lose">,
): JsonObject {
  const taken: JsonObject = {};
  for (const [name, value] of Object.entries(extras ?? {})) {
    if (known.has(name)) taken[name] = value;
    else if (!saysNothing(value)) lose(`${path === "" ? "" : `${path}.`}extras["${name}"]`, "has no place in Converse");
  }
  return taken;
}

function saysNothing(value: JsonValue): boolean {
  return value === null || value === false || value === "" || (Array.isArray(value) && value.length === 0);
}
