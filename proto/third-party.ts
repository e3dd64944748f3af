import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join, relative } from "node:path";
import { file_buf_validate_validate } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { printFile } from "./print-file.ts";

/** The protos we import but do not own: import path → the installed package that ships it, and where in it. */
const SOURCES: Readonly<Record<string, readonly [name: string, file: string]>> = {
  "google/rpc/code.proto": ["google-proto-files", "google/rpc/code.proto"],
  "google/rpc/error_details.proto": ["google-proto-files", "google/rpc/error_details.proto"],
  "google/rpc/status.proto": ["google-proto-files", "google/rpc/status.proto"],
  "grpc/health/v1/health.proto": ["grpc-health-check", "proto/health/v1/health.proto"],
  "grpc/reflection/v1/reflection.proto": ["@grpc/reflection", "build/proto/grpc/reflection/v1/reflection.proto"],
  "grpc/reflection/v1alpha/reflection.proto": [
    "@grpc/reflection",
    "build/proto/grpc/reflection/v1alpha/reflection.proto",
  ],
};

/**
 * Makes `directory` hold exactly the protos we import but do not own, taken from installed packages, so that no copy of
 * them lives in the repository and none is fetched. Safe beside another run: a file that is right already is not
 * touched. Fails when a package is missing (`npm ci` brings it).
 */
export async function collectThirdParty(directory: string): Promise<void> {
  const wanted = new Map<string, string>();
  for (const [path, [name, file]] of Object.entries(SOURCES)) {
    wanted.set(path, await readFile(join(findPackage(name), file), "utf8"));
  }
  // No package ships this source. The rules themselves come at run time from the package (`map_imports` in
  // buf.gen.yaml), so names, numbers and types are all that a compiler needs of it.
  wanted.set("buf/validate/validate.proto", printFile(file_buf_validate_validate.proto));

  for (const path of await listFiles(directory)) {
    if (!wanted.has(path)) await rm(join(directory, path), { force: true });
  }
  for (const [path, text] of wanted) {
    const target = join(directory, path);
    if (existsSync(target) && (await readFile(target, "utf8")) === text) continue;
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, text);
  }
}

/** Paths of all files below `directory`, relative to it; none when it does not exist. */
export async function listFiles(directory: string): Promise<string[]> {
  if (!existsSync(directory)) return [];
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(directory, join(entry.parentPath, entry.name)));
}

function findPackage(name: string): string {
  // Not every package exports its package.json, so look for the folder where Node would.
  for (const folder of createRequire(import.meta.url).resolve.paths(name) ?? []) {
    if (existsSync(join(folder, name, "package.json"))) return join(folder, name);
  }
  throw new Error(`Cannot collect third-party protos: package "${name}" is not installed, run "npm ci"`);
}
