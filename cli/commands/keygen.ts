import type { Command } from "commander";
import { generateTrustRoot } from "../keygen.ts";
import type { OutputFormat } from "../output.ts";
import { createLayout } from "../up/layout.ts";

interface KeygenOptions {
  readonly dir?: string;
  readonly regions: string;
  readonly domain: string;
  readonly dataDir: string;
  readonly output: OutputFormat;
}

/** Adds `weir keygen`: the trust root of a mesh, made before any of its services starts. */
export function addKeygenCommand(program: Command): void {
  program
    .command("keygen")
    .description("make the signing keys of a mesh and its trust files; keys that are there are kept")
    .option("--dir <folder>", "where to; by default the folder keys of the data directory")
    .option("--regions <ids>", "regions, with commas: each has an audit log with a key of its own", "eu,us")
    .option("--domain <name>", "first part of the key names, such as weir.example.org", "weir.local")
    .action((options: KeygenOptions) => {
      const regions = options.regions.split(",").filter((region) => region !== "");
      const directory = options.dir ?? createLayout(options.dataDir).keys;
      const root = generateTrustRoot({ directory, regions, domain: options.domain });
      const result = {
        made: root.made,
        policyKey: root.policyKey,
        auditKeys: Object.fromEntries(["control", ...regions].map((region) => [region, root.auditKey(region)])),
        routerTrust: root.routerTrust,
        trust: root.trust,
      };
      if (options.output === "json") {
        console.log(JSON.stringify(result, null, 2));
        return;
      }
      console.log(root.made.length > 0 ? `Made ${root.made.join(", ")}` : "All keys were there already");
      console.log(`Signing keys (secret): ${directory}/*.key`);
      console.log(`Trust of routers:      ${root.routerTrust}`);
      console.log(`Trust of verifiers:    ${root.trust}`);
    });
}
