import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/** The path of a program: on the PATH, or where Debian puts servers. Undefined when it is not installed. */
export function findCommand(name: string): string | undefined {
  return [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/usr/local/sbin"]
    .map((folder) => join(folder, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}
