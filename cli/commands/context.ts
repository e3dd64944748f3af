import type { Command } from "commander";
import { type Addresses, findAddresses } from "../addresses.ts";
import type { OutputFormat } from "../output.ts";

/** What every command that talks to a mesh needs. */
export interface Context {
  readonly addresses: Addresses;
  readonly output: OutputFormat;
}

/** Options of every command. */
export interface CommonOptions {
  readonly output: OutputFormat;
  readonly dataDir: string;
}

/** Finds the services for a command, by its options and the environment. */
export function getContext(command: Command): Context {
  const { output, dataDir } = command.opts<CommonOptions>();
  return { output, addresses: findAddresses(dataDir, process.env) };
}
