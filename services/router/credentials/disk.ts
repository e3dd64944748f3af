import { readdir, readFile, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { CredentialDeliverySchema } from "../../../gen/weir/policy/v1/credential_service_pb.ts";
import type { Log } from "../../shared/telemetry/log.ts";
import { writeDurably } from "../../shared/write-durably.ts";
import type { CredentialHold, SealedSet, SetVerdict } from "./hold.ts";

/** How many sets stay: of a newer one that does not open wholly, an older one fills the gaps at a start as it did while running. */
const KEPT = 3;
const SIZE_LIMIT = 8 * 2 ** 20;
const NAME = /^credentials-([0-9]{19})\.weir$/;
const TEMPORARY = /^credentials-[0-9]{19}\.weir\.new$/;

const UNREADABLE: SetVerdict = { verdict: "refused", stage: "DECODE", reasons: ["it can't be read"] };

/** Where the files are, and who hears of trouble. */
export interface CredentialDiskOptions {
  /** Folder of this process alone; made when it is not there. */
  readonly directory: string;
  readonly log: Log;
}

/**
 * The last sets of credentials on disk, sealed as they came, so that a restart needs nobody but the region's key. The files are as
 * untrusted as the network.
 */
export class CredentialDisk {
  readonly #options: CredentialDiskOptions;
  #kept = 0n;
  #saving: Promise<void> = Promise.resolve();

  constructor(options: CredentialDiskOptions) {
    this.#options = options;
  }

  /** Offers what is on disk, the oldest first. Never throws: without a good file it does nothing. */
  async load(hold: CredentialHold): Promise<void> {
    const { directory, log } = this.#options;
    for (const { name, version } of await this.#list()) {
      const delivery = await readDelivery(join(directory, name));
      // Before the offer, which tells everyone at once: what has just been read need not be written again.
      if (version > this.#kept) this.#kept = version;
      const verdict: SetVerdict = delivery === undefined ? UNREADABLE : await hold.offer(delivery);
      // The network was faster.
      if (verdict.verdict !== "refused" || verdict.stage === "STALE") continue;
      if (this.#kept === version) this.#kept = 0n;
      log.error({ file: name, reasons: verdict.reasons }, "Refused a file of sealed credentials");
    }
  }

  /** Writes what the hold has now: to a new file, to the platter, renamed. Logs a failure and never throws. */
  save(hold: CredentialHold): Promise<void> {
    this.#saving = this.#saving.then(async () => {
      const { sealed } = hold;
      if (sealed === undefined || sealed.version === this.#kept) return;
      try {
        await this.#write(sealed.version, sealed);
        this.#kept = sealed.version;
        await this.#prune(sealed.version);
      } catch (error) {
        this.#options.log.error({ error }, "Cannot keep the sealed credentials on disk");
      }
    });
    return this.#saving;
  }

  async #write(version: bigint, { content, note }: SealedSet): Promise<void> {
    const path = join(this.#options.directory, `credentials-${String(version).padStart(19, "0")}.weir`);
    await writeDurably(path, [toBinary(CredentialDeliverySchema, create(CredentialDeliverySchema, { content, note }))]);
  }

  async #prune(version: bigint): Promise<void> {
    const { directory } = this.#options;
    const old = (await this.#list()).filter((file) => file.version <= version).slice(0, -KEPT);
    const torn = (await readdir(directory)).filter((name) => TEMPORARY.test(name));
    for (const name of [...old.map((file) => file.name), ...torn]) await unlink(join(directory, name));
  }

  /** The files, the oldest first. */
  async #list(): Promise<{ name: string; version: bigint }[]> {
    let names: string[];
    try {
      names = await readdir(this.#options.directory);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") {
        this.#options.log.error({ error }, "Cannot read the folder of sealed credentials");
      }
      return [];
    }
    return names
      .flatMap((name) => {
        const match = NAME.exec(name);
        return match === null ? [] : [{ name, version: BigInt(match[1] as string) }];
      })
      .sort((a, b) => (a.version < b.version ? -1 : 1));
  }
}

async function readDelivery(path: string): Promise<{ content: Uint8Array; note: Uint8Array } | undefined> {
  try {
    const { size } = await stat(path);
    return size > SIZE_LIMIT ? undefined : fromBinary(CredentialDeliverySchema, await readFile(path));
  } catch {
    return undefined;
  }
}
