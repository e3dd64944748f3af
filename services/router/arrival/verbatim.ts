import { scrub } from "../../shared/telemetry/scrub.ts";

/**
 * The body of a provider's refusal as the provider wrote it, but for what is shaped like a secret: clients look for its wording and for
 * members that nobody here knows, such as what Azure's content filter found. `isError` says whether an object is an error of the caller's
 * format. Undefined for what is none, which came from something before the provider, or is not whole: that is written anew.
 */
export function findVerbatim(
  body: Buffer | undefined,
  isError: (members: Record<string, unknown>) => boolean,
): Buffer | undefined {
  if (body === undefined) return undefined;
  const text = body.toString("utf8");
  try {
    const value = JSON.parse(text) as unknown;
    if (typeof value !== "object" || value === null || !isError(value as Record<string, unknown>)) return undefined;
  } catch {
    return undefined;
  }
  const clean = scrub(text);
  return clean === text ? body : Buffer.from(clean);
}
