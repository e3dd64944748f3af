/**
 * Behind `npm run release-protos`: renews `proto/released.binpb`, the image of our protos that `buf breaking` compares
 * with. Refuses unless CHANGELOG.md says what changed for those who speak the protos: lines under "### Protos" of
 * "## Unreleased" that are not those of the last release.
 */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ROOT, runBuf } from "./buf.ts";
import { collectThirdParty } from "./third-party.ts";

const IMAGE = join(ROOT, "proto/released.binpb");
/** SHA-256 of the changelog lines that the committed image was released with. */
const NOTES = join(ROOT, "proto/released.notes");

/** What a changelog says under "### Protos" of its "## Unreleased" section; empty when it says nothing. */
export function findProtoNotes(changelog: string): string {
  const [, afterUnreleased = ""] = changelog.split(/^## Unreleased.*$/m);
  const [unreleased = ""] = afterUnreleased.split(/^## /m);
  const [, afterProtos = ""] = unreleased.split(/^### Protos.*$/m);
  const [protos = ""] = afterProtos.split(/^### /m);
  return protos.trim();
}

async function main(): Promise<void> {
  const changelog = join(ROOT, "CHANGELOG.md");
  const notes = existsSync(changelog) ? findProtoNotes(await readFile(changelog, "utf8")) : "";
  const digest = `${createHash("sha256").update(notes).digest("hex")}\n`;
  const released = existsSync(NOTES) ? await readFile(NOTES, "utf8") : "";
  if (notes === "" || digest === released) {
    throw new Error(
      'Cannot release protos: CHANGELOG.md says nothing new under "### Protos" of "## Unreleased" about what changed for users',
    );
  }
  await collectThirdParty(join(ROOT, "third_party"));
  // Only our own module: the third-party protos come along as imports, but are not held against us.
  await runBuf(["build", "proto", "-o", `${IMAGE}.new#format=binpb`]);
  await rename(`${IMAGE}.new`, IMAGE);
  await writeFile(NOTES, digest);
}

if (import.meta.main) await main();
