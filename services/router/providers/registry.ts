import type { Dialect as DialectId, Server } from "../../../gen/weir/policy/v1/policy_pb.ts";
import { anthropic } from "./anthropic/anthropic.ts";
import { azureOpenai } from "./azure-openai/azure-openai.ts";
import { bedrock } from "./bedrock/bedrock.ts";
import type { Dialect } from "./dialect.ts";
import { gemini } from "./gemini/gemini.ts";
import { openai } from "./openai/openai.ts";

/** Every language that this router speaks with providers: a line each. */
const DIALECTS: readonly Dialect[] = [openai, azureOpenai, anthropic, gemini, bedrock];

const byId: ReadonlyMap<DialectId, Dialect> = new Map(DIALECTS.map((dialect) => [dialect.id, dialect]));

/** Finds a dialect as a server speaks it; undefined for one that a newer policy knows and this router does not. */
export function findDialect(id: DialectId, server: Server): Dialect | undefined {
  const dialect = byId.get(id);
  return dialect?.servers?.get(server) ?? dialect;
}
