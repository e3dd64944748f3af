import { spawn } from "node:child_process";
import { delimiter, join } from "node:path";

/** The root of the repository, where buf.yaml is. */
export const ROOT = join(import.meta.dirname, "..");

/**
 * Runs the installed `buf` in the root and resolves when it succeeded. What it says goes to this process's stderr.
 * Rejects when it exits with anything but 0.
 */
export async function runBuf(parameters: readonly string[]): Promise<void> {
  // buf looks for its plugins (protoc-gen-es) on the PATH.
  const path = `${join(ROOT, "node_modules/.bin")}${delimiter}${process.env.PATH ?? ""}`;
  const child = spawn("buf", parameters, { cwd: ROOT, stdio: ["ignore", 2, 2], env: { ...process.env, PATH: path } });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", resolve);
  });
  if (code !== 0) throw new Error(`Cannot run "buf ${parameters.join(" ")}": it exited with ${code}`);
}
