import pg from "pg";
import { WeirError } from "../errors/weir-error.ts";

// Classes of SQLSTATE in which the server or the way to it is at fault, and the same statement may succeed later.
// https://www.postgresql.org/docs/16/errcodes-appendix.html
const UNAVAILABLE_CLASSES = new Set(["08", "40", "53", "57", "58"]);
const UNAVAILABLE_CODES = new Set(["55P03", "25P03"]);
// A table or column that is not there: what this build needs and the service's migration at its start is to bring.
const SCHEMA_CODES = new Set(["42P01", "42703"]);
// Data exceptions and violated constraints: the same data would fail for ever.
const REFUSED_CLASSES = new Set(["21", "22", "23"]);

/**
 * Translates what `pg` throws: UNAVAILABLE when the database cannot be reached, is overloaded, shutting down or too slow, or lacks a table or
 * column, since a service answers before its migrations have run; ARGUMENT_INVALID when it refuses the data; INTERNAL for anything else (a mistake of ours). A WeirError passes through. The
 * cause is kept for logs, and neither SQL nor values get into the message.
 */
export function toDatabaseError(act: string, error: unknown): WeirError {
  if (error instanceof WeirError) return error;
  if (error instanceof pg.DatabaseError && error.code !== undefined) {
    const facts: Record<string, string> = { sqlstate: error.code };
    if (error.constraint !== undefined) facts.constraint = error.constraint;
    if (UNAVAILABLE_CLASSES.has(error.code.slice(0, 2)) || UNAVAILABLE_CODES.has(error.code)) {
      return new WeirError("UNAVAILABLE", `Cannot ${act}: the database answered ${error.code}`, {
        facts,
        cause: error,
      });
    }
    if (isSchemaMissing(error)) {
      return new WeirError(
        "UNAVAILABLE",
        `Cannot ${act}: the database is not ready, a table or column of this build is missing (${error.code}); try again, and if that lasts, read in the log of the service why it cannot migrate`,
        { facts, cause: error },
      );
    }
    if (REFUSED_CLASSES.has(error.code.slice(0, 2))) {
      return new WeirError("ARGUMENT_INVALID", `Cannot ${act}: the database refused the data (${error.code})`, {
        facts,
        cause: error,
      });
    }
    return new WeirError("INTERNAL", `Cannot ${act}: the database answered ${error.code}`, { facts, cause: error });
  }
  // Sockets, time-outs and closed connections come as plain errors without a SQLSTATE.
  return new WeirError("UNAVAILABLE", `Cannot ${act}: the database is not reachable or does not answer`, {
    cause: error,
  });
}

/** Does the database lack a table or column? In a service its migrations are still to come; in a migration it is a mistake. */
export function isSchemaMissing(error: unknown): boolean {
  return error instanceof pg.DatabaseError && SCHEMA_CODES.has(error.code ?? "");
}

/** Is this a violated unique constraint, and if `constraint` is given, that one? Sees through a translated error. */
export function isUniqueViolation(error: unknown, constraint?: string): boolean {
  const found = error instanceof WeirError ? error.cause : error;
  if (!(found instanceof pg.DatabaseError) || found.code !== "23505") return false;
  return constraint === undefined || found.constraint === constraint;
}
