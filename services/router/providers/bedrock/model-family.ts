/** Who made a model, as Bedrock's ids say it; `other` for those of whom nothing need be known, or of whom the id does not tell. */
export type ModelFamily = "anthropic" | "amazon-nova" | "openai" | "other";

/**
 * Finds the maker of a model by its id (https://docs.aws.amazon.com/bedrock/latest/userguide/models-supported.html): of a model, of
 * an inference profile with its region before it, or of an ARN that ends with one of these. An application's own profile hides it.
 */
export function findModelFamily(model: string): ModelFamily {
  const id = model.slice(model.lastIndexOf("/") + 1);
  if (/(^|\.)anthropic\./.test(id)) return "anthropic";
  if (/(^|\.)amazon\.nova-/.test(id)) return "amazon-nova";
  if (/(^|\.)openai\./.test(id)) return "openai";
  return "other";
}
