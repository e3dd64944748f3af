import { readFileSync } from "node:fs";
import { WeirError } from "./errors/weir-error.ts";
import type { Log } from "./telemetry/log.ts";

/** What a setting of each kind is once it is read. */
interface ValueOf {
  /** Any text. */
  readonly string: string;
  readonly integer: number;
  /** Milliseconds; written `250ms`, `30s`, `5m`, `2h`, `1d`. */
  readonly duration: number;
  /** Bytes; written `512`, `64KiB`, `32MiB`, `2GiB`. */
  readonly bytes: number;
  /** Written `true` or `false`. */
  readonly boolean: boolean;
  /** Written `host:port`, an IPv6 host in brackets. Port 0 lets the system choose when one listens. */
  readonly address: Address;
  /** Of a file or folder, as given: relative to where the process was started. */
  readonly path: string;
  /** Written with commas; spaces around and empty items fall away. */
  readonly list: readonly string[];
  /** Absolute, as given. May hold a password, so no error repeats it. */
  readonly url: string;
  /** Given as such, or as the path of a file that holds it in NAME_FILE. No error repeats it. */
  readonly secret: string;
}

/** A host (name or IP, without brackets) and a TCP port. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** One setting: its kind, what it is for, and what it is when the environment does not name it. */
export interface Declaration {
  readonly kind: keyof ValueOf;
  /** For the operator: one sentence. */
  readonly meaning: string;
  /** As one would write it in the environment. Without one the setting must be given, unless it is `optional`. */
  readonly default?: string | number | boolean;
  /** May be absent; it is `undefined` then. */
  readonly optional?: true;
  /** Smallest value allowed, inclusive, of an integer, a duration (ms) or a size (bytes). Default 0. */
  readonly min?: number;
  /** Largest value allowed, inclusive. Default 2^53 - 1. */
  readonly max?: number;
  /** Unit of an integer, for the table: "connections". */
  readonly unit?: string;
  /** The only texts allowed of a string. */
  readonly choices?: readonly string[];
}

/** Declarations by name; each name begins with `WEIR_`. */
export type Declarations = Readonly<Record<string, Declaration>>;

/** The settings that declarations promise, by name. */
export type Settings<D extends Declarations> = {
  readonly [Name in keyof D]: D[Name] extends { default: string | number | boolean }
    ? ValueOf[D[Name]["kind"]]
    : D[Name] extends { optional: true }
      ? ValueOf[D[Name]["kind"]] | undefined
      : ValueOf[D[Name]["kind"]];
};

/** Settings of every service. Spread them into a service's own declarations. */
export const commonSettings = {
  WEIR_LOG_LEVEL: {
    kind: "string",
    default: "info",
    choices: ["trace", "debug", "info", "warn", "error", "fatal"],
    meaning: "The least important log line that is written.",
  },
  WEIR_REFLECTION: {
    kind: "boolean",
    default: false,
    meaning: "Whether server reflection is served, so that grpcurl and buf curl need no protos.",
  },
  WEIR_SUPERVISED: {
    kind: "boolean",
    default: false,
    meaning: "Whether the process ends when its standard input does, because its supervisor is gone.",
  },
  WEIR_DRAIN_TIMEOUT: {
    kind: "duration",
    default: "10s",
    meaning: "How long work in flight may go on after SIGTERM.",
  },
} as const satisfies Declarations;

/** Names that Kubernetes puts into a pod for each service of its namespace (`enableServiceLinks`). */
const SERVICE_LINK = /^WEIR_(?:.+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_.+)?|PORT|PORT_\d+_.+)$/;

/**
 * Reads the declared settings from an environment, with an empty value taken as absent. Throws one SETTING_INVALID that
 * names everything wrong at once, also each `WEIR_` name that nobody declared: a misspelt limit must not become no limit.
 * Service links of Kubernetes are passed over, with one line in `log`.
 */
export function readSettings<const D extends Declarations>(
  environment: Readonly<Record<string, string | undefined>>,
  declarations: D,
  options: { readonly log?: Log } = {},
): Settings<D> {
  const problems: { field: string; description: string }[] = [];
  const settings: Record<string, unknown> = {};
  const known = new Set<string>();
  for (const [name, declaration] of Object.entries(declarations) as [string, Declaration][]) {
    known.add(name);
    if (declaration.kind === "secret") known.add(`${name}_FILE`);
    try {
      settings[name] = readSetting(environment, name, declaration);
    } catch (error) {
      if (!(error instanceof SettingProblem)) throw error;
      problems.push({ field: name, description: error.message });
    }
  }

  const links: string[] = [];
  for (const name of Object.keys(environment)) {
    if (!name.startsWith("WEIR_") || known.has(name)) continue;
    if (SERVICE_LINK.test(name)) links.push(name);
    else problems.push({ field: name, description: "is not a setting of this service" });
  }
  if (links.length > 0)
    options.log?.info({ names: links.sort() }, "Kubernetes service links are not settings, passed over");

  if (problems.length > 0) {
    const list = problems.map(({ field, description }) => `${field} ${description}`).join("; ");
    throw new WeirError("SETTING_INVALID", `Cannot read settings: ${list}`, {
      facts: { settings: problems.map(({ field }) => field).join(",") },
      violations: problems,
    });
  }
  return settings as Settings<D>;
}

/** The declarations as a Markdown table for a README: name, kind with range, default, meaning. */
export function describeSettings(declarations: Declarations): string {
  const rows = Object.entries(declarations).map(([name, declaration]) => {
    const fallback =
      declaration.default === undefined
        ? declaration.optional
          ? "none"
          : "must be set"
        : `\`${declaration.default}\``;
    const names = declaration.kind === "secret" ? `\`${name}\` or \`${name}_FILE\`` : `\`${name}\``;
    return `| ${names} | ${describeKind(declaration)} | ${fallback} | ${declaration.meaning} |`;
  });
  return ["| setting | kind | default | meaning |", "|---|---|---|---|", ...rows].join("\n");
}

function describeKind({ kind, unit, min, max, choices }: Declaration): string {
  const range = min === undefined && max === undefined ? "" : ` ${min ?? 0}–${max ?? "…"}`;
  if (choices !== undefined) return choices.map((choice) => `\`${choice}\``).join(", ");
  return `${kind}${unit === undefined ? "" : ` (${unit})`}${range}`;
}

/** What is wrong with one setting, told without its value where that may be secret. */
class SettingProblem extends WeirError {
  constructor(message: string) {
    super("SETTING_INVALID", message);
  }
}

function readSetting(
  environment: Readonly<Record<string, string | undefined>>,
  name: string,
  declaration: Declaration,
): unknown {
  const given = declaration.kind === "secret" ? findSecret(environment, name) : environment[name] || undefined;
  const text = given ?? (declaration.default === undefined ? undefined : String(declaration.default));
  if (text !== undefined) return PARSERS[declaration.kind](text, declaration);
  if (declaration.optional) return undefined;
  throw new SettingProblem("must be set");
}

function findSecret(environment: Readonly<Record<string, string | undefined>>, name: string): string | undefined {
  const direct = environment[name] || undefined;
  const file = environment[`${name}_FILE`] || undefined;
  if (direct !== undefined && file !== undefined)
    throw new SettingProblem(`and ${name}_FILE are both set, should be one`);
  if (file === undefined) return direct;
  try {
    // Editors and `echo` end a file with a newline, which is no part of the secret.
    return readFileSync(file, "utf8").replace(/\r?\n$/, "");
  } catch (error) {
    throw new SettingProblem(`cannot be read from the file in ${name}_FILE: ${(error as NodeJS.ErrnoException).code}`);
  }
}

const DURATION_UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const BYTE_UNITS: Readonly<Record<string, number>> = {
  "": 1,
  B: 1,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  TiB: 1024 ** 4,
};

const PARSERS: { readonly [Kind in keyof ValueOf]: (text: string, declaration: Declaration) => ValueOf[Kind] } = {
  string(text, { choices }) {
    if (choices !== undefined && !choices.includes(text)) {
      throw new SettingProblem(`is "${text}", should be one of ${choices.join(", ")}`);
    }
    return text;
  },
  integer(text, declaration) {
    if (!/^-?\d{1,16}$/.test(text)) throw new SettingProblem(`is "${text}", should be a whole number`);
    return checkRange(Number(text), text, declaration);
  },
  duration(text, declaration) {
    const [, digits = "", unit = ""] = /^(\d{1,12})(ms|s|m|h|d)$/.exec(text) ?? [];
    const factor = DURATION_UNITS[unit];
    if (factor === undefined) throw new SettingProblem(`is "${text}", should be a duration such as 250ms, 30s, 5m`);
    return checkRange(Number(digits) * factor, text, declaration);
  },
  bytes(text, declaration) {
    const [, digits, unit = ""] = /^(\d{1,15})(|B|KiB|MiB|GiB|TiB)$/.exec(text) ?? [];
    const factor = BYTE_UNITS[unit];
    if (digits === undefined || factor === undefined) {
      throw new SettingProblem(`is "${text}", should be a size such as 512, 64KiB, 32MiB`);
    }
    return checkRange(Number(digits) * factor, text, declaration);
  },
  boolean(text) {
    if (text !== "true" && text !== "false") throw new SettingProblem(`is "${text}", should be true or false`);
    return text === "true";
  },
  address: parseAddress,
  path: (text) => text,
  list: (text) =>
    text
      .split(",")
      .map((item) => item.trim())
      .filter((item) => item !== ""),
  url(text) {
    if (!URL.canParse(text)) throw new SettingProblem("should be an absolute URL");
    return text;
  },
  secret: (text) => text,
};

/** Parses `host:port`, an IPv6 host in brackets. Throws SETTING_INVALID with a message that completes "WEIR_X …". */
export function parseAddress(text: string): Address {
  const [, bracketed, plain, digits] = /^(?:\[([0-9a-fA-F:.%]+)\]|([^:[\]/\s]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  const port = Number(digits);
  if (host === undefined || port > 65_535) {
    throw new SettingProblem(`is "${text}", should be host:port, such as 127.0.0.1:7400 or [::1]:7400`);
  }
  return { host, port };
}

function checkRange(value: number, text: string, { min = 0, max = Number.MAX_SAFE_INTEGER }: Declaration): number {
  if (value < min || value > max) throw new SettingProblem(`is ${text}, should be from ${min} to ${max}`);
  return value;
}
