import { join } from "node:path";
import type { Transport } from "@connectrpc/connect";
import type { Clock } from "../shared/clock.ts";
import { parseRegionKeys } from "../shared/credential/region-key.ts";
import { createRegionKeyUnwrapper } from "../shared/credential/region-key-wrapper.ts";
import type { NoteVerifier } from "../shared/note/note.ts";
import type { Log } from "../shared/telemetry/log.ts";
import type { Metrics } from "../shared/telemetry/metrics.ts";
import { type Config, readConfig } from "./config.ts";
import type { CredentialSource } from "./credentials/credential.ts";
import { keepCredentials } from "./credentials/keep.ts";
import { mountCredentials, NO_CREDENTIALS } from "./credentials/read-files.ts";

/** What a source is chosen by and made of. */
export interface OpenCredentialsOptions {
  /** Where the settings were read from, and a region key that was added is read again. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly settings: Config;
  readonly boot: string;
  readonly trust: Iterable<NoteVerifier>;
  /** To policy. */
  readonly transport: Transport;
  readonly log: Log;
  readonly clock: Clock;
  readonly metrics: Metrics;
}

/**
 * Opens this router's credentials: from policy, sealed, when it has a region key; else from mounted files, when it has a folder; else there
 * are none. Throws SETTING_INVALID when the region key is none.
 */
export function openCredentials(options: OpenCredentialsOptions): CredentialSource {
  const { environment, settings, boot, trust, transport, log, clock, metrics } = options;
  const { WEIR_REGION: region, WEIR_ROUTER: instance, WEIR_REGION_KEY, WEIR_CREDENTIALS } = settings;
  if (WEIR_CREDENTIALS !== undefined) return mountCredentials(WEIR_CREDENTIALS, log);
  if (WEIR_REGION_KEY === undefined) return NO_CREDENTIALS;
  // A mistake must show at the start, not when the first credential comes.
  parseRegionKeys(WEIR_REGION_KEY, region);
  const readKeys = () => parseRegionKeys(readConfig(environment).WEIR_REGION_KEY ?? "", region);
  return keepCredentials({
    name: { region, instance, boot },
    trust,
    // The place to choose a key management service: it is another KeyUnwrapper.
    unwrapper: createRegionKeyUnwrapper(readKeys),
    directory: join(settings.WEIR_STATE, "credentials"),
    transport,
    log,
    clock,
    metrics,
  });
}
