import type { Command } from "commander";
import { generateTrustRoot } from "../keygen.ts";
import type { OutputFormat } from "../output.ts";
import { createLayout } from "../up/layout.ts";

interface KeygenOptions {
  readonly dir?: string;
  readonly regions: string;
  readonly renew?: string;
  readonly domain: string;
  readonly dataDir: string;
  readonly output: OutputFormat;
}

/** Adds `weir keygen`: the trust root of a mesh, made before any of its services starts. */
export function addKeygenCommand(program: Command): void {
  program
    .command("keygen")
    .description("make the signing and region keys of a mesh and its trust files; keys that are there are kept")
    .option("--dir <folder>", "where to; by default the folder keys of the data directory")
    .option("--regions <ids>", "regions, with commas: each has keys of its own", "eu,us")
    .option("--renew <ids>", "regions, with commas, that get another region key beside those that are there")
    .option("--domain <name>", "first part of the key names, such as weir.example.org", "weir.local")
    .action((options: KeygenOptions) => {
      const regions = toList(options.regions);
      const renewedRegions = toList(options.renew ?? "");
      const unknown = renewedRegions.filter((region) => !regions.includes(region));
      if (unknown.length > 0) {
        throw new Error(
          `Cannot renew region key: ${unknown.join(", ")} is not among the regions ${regions.join(", ")}`,
        );
      }
      const directory = options.dir ?? createLayout(options.dataDir).keys;
      const root = generateTrustRoot({ directory, regions, renewedRegions, domain: options.domain });
      const result = {
        made: root.made,
        policyKey: root.policyKey,
        auditKeys: Object.fromEntries(["control", ...regions].map((region) => [region, root.auditKey(region)])),
        regionKeys: Object.fromEntries(regions.map((region) => [region, root.regionKey(region)])),
        recipients: root.recipients,
        routerTrust: root.routerTrust,
        trust: root.trust,
      };
      if (options.output === "json") {
        console.log(JSON.stringify(result, null, 2));
        return;
      }
      console.log(root.made.length > 0 ? `Made ${root.made.join(", ")}` : "All keys were there already");
      console.log(`Keys (secret):         ${directory}/*.key`);
      console.log(`Keys to seal with:     ${root.recipients}`);
      console.log(`Trust of routers:      ${root.routerTrust}`);
      console.log(`Trust of verifiers:    ${root.trust}`);
    });
}

function toList(text: string): string[] {
  return text.split(",").filter((item) => item !== "");
}
