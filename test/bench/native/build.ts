import { execFile, execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const SOURCES = import.meta.dirname;
const OUTPUT = join(SOURCES, "../../..", ".weir-bench");
const COMPILERS = ["cc", "gcc"] as const;
const FLAGS = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Wshadow"] as const;
const LIBRARIES = ["-lm"] as const;

/** Where the compiled programs are. */
export interface NativePrograms {
  /** The model provider: `provider --port N`. */
  readonly provider: string;
  /** The load generator: `load --target … --mode …`, see README.md. */
  readonly load: string;
}

/** Finds a C compiler that starts. Undefined when there is none. */
export function findCompiler(): string | undefined {
  return COMPILERS.find((name) => {
    try {
      execFileSync(name, ["--version"], { stdio: "ignore" });
      return true;
    } catch {
      return false;
    }
  });
}

/**
 * Compiles provider and load generator into `.weir-bench/` below the repository's root, and only when their sources have changed
 * since. Safe to be called by several processes at once. Throws when there is no C compiler or the compiler objects.
 */
export async function buildNative(): Promise<NativePrograms> {
  const [provider, load] = await Promise.all([buildProgram("provider"), buildProgram("load")]);
  return { provider, load };
}

async function buildProgram(name: string): Promise<string> {
  const program = join(OUTPUT, `${name}-${hashSources()}`);
  if (existsSync(program)) {
    return program;
  }
  const compiler = findCompiler();
  if (compiler === undefined) {
    throw new Error(
      `Cannot build the bench's ${name}: there is no C compiler (${COMPILERS.join(" or ")}); on Debian, install gcc and libc6-dev`,
    );
  }
  await mkdir(OUTPUT, { recursive: true });
  const unfinished = `${program}.${process.pid}`;
  try {
    await promisify(execFile)(compiler, [
      ...FLAGS,
      "-o",
      unfinished,
      join(SOURCES, `${name}.c`),
      ...LIBRARIES, // after what needs them
    ]);
  } catch (cause) {
    const { stderr } = cause as { stderr?: string };
    throw new Error(`Cannot build the bench's ${name}: ${compiler} failed\n${stderr ?? ""}`, { cause });
  }
  // At once and whole, so that nobody starts half a program.
  await rename(unfinished, program);
  return program;
}

/** A hash of all that the programs are made of. */
function hashSources(): string {
  const hash = createHash("sha256").update(FLAGS.join(" "));
  for (const file of readdirSync(SOURCES).sort()) {
    if (/\.[ch]$/.test(file)) {
      hash.update(file).update(readFileSync(join(SOURCES, file)));
    }
  }
  return hash.digest("hex").slice(0, 12);
}
