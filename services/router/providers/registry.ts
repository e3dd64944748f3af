import { Dialect as DialectId } from "../../../gen/weir/policy/v1/policy_pb.ts";
import type { Dialect } from "./dialect.ts";
import { openai } from "./openai/openai.ts";

/** Every language that this router speaks with providers, by the name that a policy gives it. */
const DIALECTS: ReadonlyMap<DialectId, Dialect> = new Map([[DialectId.OPENAI, openai]]);

/** Finds a dialect; undefined for one that a newer policy knows and this router does not. */
export function findDialect(id: DialectId): Dialect | undefined {
  return DIALECTS.get(id);
}
