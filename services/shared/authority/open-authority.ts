import { readFileSync } from "node:fs";
import type { Clock } from "../clock.ts";
import { WeirError } from "../errors/weir-error.ts";
import type { Declarations, Settings } from "../settings.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { watchFile } from "../watch-file.ts";
import { Authority } from "./authority.ts";
import { NO_OPERATORS, OPERATORS_LIMIT_BYTES, parseOperators } from "./operators-file.ts";

/** Settings of who may operate a service of the control plane, or a region's audit. */
export const authoritySettings = {
  WEIR_OPERATORS: {
    kind: "path",
    optional: true,
    meaning:
      "YAML file that says who operates the mesh: issuers, admin keys, roles. Read again when it changes. Without it nobody does, and every RPC for operators is refused.",
  },
} as const satisfies Declarations;

/** What an authority is opened with. */
export interface AuthorityOptions {
  readonly settings: Settings<typeof authoritySettings>;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics?: Pick<Metrics, "weir_operators_refused">;
  /** Ends the watch over the file. */
  readonly signal: AbortSignal;
}

/**
 * Opens the authority of a service: reads the operators' document, and again whenever it changes. Throws SETTING_INVALID when it is wrong at
 * the start; a mistake that comes later is logged and counted, and the last good document stays.
 */
export function openAuthority({ settings, clock, log, metrics, signal }: AuthorityOptions): Authority {
  const path = settings.WEIR_OPERATORS;
  if (path === undefined) {
    log.warn("Nobody may operate this service: WEIR_OPERATORS names no document; `weir operators add-key` makes one");
    return new Authority({ operators: NO_OPERATORS, clock, log });
  }
  const content = readDocument(path);
  const authority = new Authority({ operators: parseDocument(content), clock, log });
  const keep = (error: unknown) => {
    metrics?.weir_operators_refused.set(1);
    log.error({ err: error }, "Cannot take the operators' document; the last good one stays");
  };
  const onChange = (changed: Buffer) => {
    try {
      authority.replace(parseDocument(changed));
      metrics?.weir_operators_refused.set(0);
      log.info({ path }, "Operators changed");
    } catch (error) {
      keep(error);
    }
  };
  void watchFile({ path, content, onChange, onFailure: keep, clock }, signal);
  return authority;
}

function readDocument(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? "unknown";
    throw new WeirError(
      "SETTING_INVALID",
      `Cannot read operators: the file of WEIR_OPERATORS cannot be read: ${code}`,
      {
        facts: { setting: "WEIR_OPERATORS", code },
        cause,
      },
    );
  }
}

function parseDocument(content: Buffer): ReturnType<typeof parseOperators> {
  if (content.length > OPERATORS_LIMIT_BYTES) {
    const state = `the document has ${content.length} bytes, may have ${OPERATORS_LIMIT_BYTES}`;
    throw new WeirError("SETTING_INVALID", `Cannot read operators: ${state}`, { facts: { setting: "WEIR_OPERATORS" } });
  }
  return parseOperators(content.toString("utf8"));
}
