import { isUtf8 } from "node:buffer";
import { type Dirent, readdirSync, readFileSync, realpathSync, statSync } from "node:fs";
import { join, sep } from "node:path";
import type { Report } from "./finding.ts";

/** A file of a policy. */
export interface PolicyFile {
  /** Path as the tree was named on the command line. */
  readonly file: string;
  readonly text: string;
}

const MAX_FILES = 1_000;
const MAX_FILE_BYTES = 1024 * 1024;
/** A request to publish has at most 16 MiB. */
const MAX_TREE_BYTES = 8 * 1024 * 1024;
const MAX_DEPTH = 16;
/** Most names looked at, so that "/" as a tree ends soon. */
const MAX_NAMES = 20_000;

/**
 * Reads the files of a policy: one file, or each *.yaml, *.yml and *.json below a folder, sorted by path, name by name. Names that begin
 * with a dot are left out. A symbolic link is followed to a file within the tree; everything else that looks like a part of the policy and
 * can't be read is reported, so that nothing is left out in silence. Throws when `path` does not exist.
 */
export function listFiles(path: string, report: Report): PolicyFile[] {
  const paths = statSync(path).isDirectory() ? new Walk(path, report).list() : [path];
  if (paths.length === 0) {
    report({ file: path }, "", "TREE_EMPTY", "There is no *.yaml, *.yml or *.json in this folder");
  }
  const files: PolicyFile[] = [];
  let sizeBytes = 0;
  for (const file of paths) {
    const bytes = readBytes(file, report);
    if (bytes === undefined) continue;
    sizeBytes += bytes.length;
    if (sizeBytes > MAX_TREE_BYTES) {
      report({ file }, "", "TREE_TOO_LARGE", `The files up to this one have more than ${MAX_TREE_BYTES} bytes`);
      break;
    }
    const text = decode(file, bytes, report);
    if (text !== undefined) files.push({ file, text });
  }
  return files;
}

class Walk {
  readonly #root: string;
  readonly #realRoot: string;
  readonly #report: Report;
  readonly #files: string[] = [];
  #names = 0;

  constructor(root: string, report: Report) {
    this.#root = root;
    this.#realRoot = realpathSync(root);
    this.#report = report;
  }

  list(): string[] {
    this.#enter(this.#root, 1);
    return this.#files;
  }

  #enter(folder: string, depth: number): void {
    if (depth > MAX_DEPTH) {
      this.#report({ file: folder }, "", "TREE_TOO_DEEP", `Folders may be nested ${MAX_DEPTH} deep`);
      return;
    }
    let entries: Dirent[];
    try {
      entries = readdirSync(folder, { withFileTypes: true });
    } catch (error) {
      this.#report({ file: folder }, "", "FILE_UNREADABLE", describe(error));
      return;
    }
    for (const entry of entries.sort(byName)) {
      if (entry.name.startsWith(".")) continue;
      this.#names += 1;
      if (this.#names > MAX_NAMES || this.#files.length > MAX_FILES) {
        if (this.#names < Number.POSITIVE_INFINITY) {
          const message = `A policy has at most ${MAX_FILES} files among ${MAX_NAMES} names; what follows was not read`;
          this.#report({ file: join(folder, entry.name) }, "", "TREE_TOO_LARGE", message);
        }
        this.#names = Number.POSITIVE_INFINITY;
        return;
      }
      this.#take(join(folder, entry.name), entry, depth);
    }
  }

  #take(path: string, entry: Dirent, depth: number): void {
    if (entry.isDirectory()) this.#enter(path, depth + 1);
    else if (entry.isSymbolicLink()) this.#follow(path);
    else if (isPolicyName(path)) this.#files.push(path);
  }

  #follow(path: string): void {
    try {
      const target = realpathSync(path);
      const isFolder = statSync(target).isDirectory();
      // A link to something else than a part of a policy, such as to a README, is no more read than that would be.
      if (!isFolder && !isPolicyName(path)) return;
      const isInside = target.startsWith(this.#realRoot + sep);
      if (isInside && !isFolder) this.#files.push(path);
      else this.#report({ file: path }, "", "LINK_REFUSED", "A link may lead to a file within the tree only");
    } catch (error) {
      this.#report({ file: path }, "", "FILE_UNREADABLE", describe(error));
    }
  }
}

function isPolicyName(path: string): boolean {
  return /\.(ya?ml|json)$/i.test(path);
}

// By code units: the same order on every machine, whatever its language.
function byName(a: Dirent, b: Dirent): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

function readBytes(file: string, report: Report): Buffer | undefined {
  try {
    const state = statSync(file);
    if (!state.isFile()) {
      report({ file }, "", "FILE_UNREADABLE", "Is not a file");
      return undefined;
    }
    if (state.size > MAX_FILE_BYTES) {
      report({ file }, "", "FILE_TOO_LARGE", `Has ${state.size} bytes, more than ${MAX_FILE_BYTES}; divide it`);
      return undefined;
    }
    return readFileSync(file);
  } catch (error) {
    report({ file }, "", "FILE_UNREADABLE", describe(error));
    return undefined;
  }
}

function decode(file: string, bytes: Buffer, report: Report): string | undefined {
  if (isUtf8(bytes)) return bytes.toString("utf8").replace(/^\uFEFF/, "");
  // No character of UTF-8 but the line feed holds its byte, so that each line can be looked at alone.
  let line = 1;
  let start = 0;
  for (;;) {
    const feed = bytes.indexOf(0x0a, start);
    const end = feed === -1 ? bytes.length : feed;
    if (!isUtf8(bytes.subarray(start, end))) break;
    start = end + 1;
    line += 1;
  }
  report({ file, line, column: 1 }, "", "ENCODING_INVALID", "This line is not UTF-8; save the file as UTF-8");
  return undefined;
}

function describe(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  const known = { ENOENT: "Leads to nothing", EACCES: "May not be read", ELOOP: "Leads in a circle" }[code ?? ""];
  return known ?? `Can't be read: ${message}`;
}
