import type { Command } from "commander";
import { describe, expect, it } from "vitest";
import { createProgram } from "./program.ts";

/** Every command and subcommand, by the words that call it. */
function listCommands(command: Command, words: readonly string[] = []): [string, Command][] {
  const own: [string, Command] = [["weir", ...words].join(" "), command];
  return [own, ...command.commands.flatMap((child) => listCommands(child, [...words, child.name()]))];
}

describe("weir", () => {
  it.each(listCommands(createProgram()))("%s --help says how it is used", (words, command) => {
    const help = command.helpInformation();

    expect(help).toContain(`Usage: ${words} `);
    // It is wrapped to the width of a terminal.
    expect(help.replace(/\s+/g, " ")).toContain(command.description());
  });
});
