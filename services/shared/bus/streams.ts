import { DiscardPolicy, type JetStreamManager, nanos, RetentionPolicy, StorageType, type StreamConfig } from "nats";
import type { Bus } from "./bus.ts";
import { isStreamInUse, isStreamMissing, toBusError } from "./bus-error.ts";

/** The streams there are. */
export type StreamName = "USAGE" | "AUDIT" | "POLICY" | "RELEASED";

/** A stream of the table below. */
export interface StreamDeclaration {
  /** What it is for, and in which account and server it lives. It is made by whoever takes its messages in, or lays them there to stay. */
  readonly meaning: string;
  /** The subjects that it keeps, for the region it lives in. */
  readonly subjects: (region: string) => string[];
  /**
   * *work*: a message goes when its one consumer has acknowledged it. *recent*: the newest messages of each subject stay for
   * everyone who listens. *last*: the last message of each subject stays.
   */
  readonly retention: "work" | "recent" | "last";
  /** When full, a *recent* stream drops the oldest; the others refuse new messages: a spool keeps them, or what is there is still good. */
  readonly maxBytes: number;
}

/**
 * Every stream of Weir. All are kept in files, have a duplicate window of 10 minutes, and can be lost without loss of a
 * fact: the truth lives in a router's spool or in PostgreSQL.
 *
 * USAGE and AUDIT refuse new messages when full instead of dropping old ones, and forget what their one consumer has
 * acknowledged: so "full" means "not taken in", never "not aged yet".
 */
const STREAMS: Readonly<Record<StreamName, StreamDeclaration>> = {
  USAGE: {
    meaning: "Usages on their way to metering; the MESH account of each region's server",
    subjects: (region) => [`usage.${region}.>`],
    retention: "work",
    maxBytes: 256 * 2 ** 20,
  },
  AUDIT: {
    meaning: "Records on their way to the audit of their region; its REGION account, or the hub's CONTROL account",
    subjects: (region) => [`audit.${region}.>`],
    retention: "work",
    maxBytes: 512 * 2 ** 20,
  },
  POLICY: {
    meaning: "Hints that a policy was published; the hub's MESH account",
    subjects: () => ["policy.*.published"],
    retention: "recent",
    maxBytes: 16 * 2 ** 20,
  },
  RELEASED: {
    meaning: "The snapshot and keyring last released to a region, in pages; the MESH account of each region's server",
    subjects: (region) => [`released.${region}.>`],
    retention: "last",
    // Four places for snapshots of 16 MiB and keyrings of a million keys.
    maxBytes: 1024 * 2 ** 20,
  },
};

/** How many messages of a subject stay; -1: all. */
const MESSAGES_PER_SUBJECT = { work: -1, recent: 64, last: 1 } as const;
/** Within this time the server recognises a message id that it has taken before. Receivers recognise a fact for ever. */
const DUPLICATE_WINDOW_MS = 10 * 60_000;
/** Largest message on the bus. A batch of facts ends at half of it. */
const MAX_MESSAGE_BYTES = 2 ** 20;

/** Where the stream is, and how long to wait. */
export interface EnsureStreamOptions {
  /** JetStream domain of the server that keeps the stream. Default: the server we are connected to. */
  readonly domain?: string;
  /** Limit of each step. Default 5,000. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/**
 * Makes the stream, or brings its settings up to the table. Safe to repeat and to run in several processes at once. Throws
 * UNAVAILABLE when the server does not answer.
 */
export async function ensureStream(
  bus: Bus,
  name: StreamName,
  region: string,
  options: EnsureStreamOptions = {},
): Promise<void> {
  try {
    const connection = await bus.ready(options.signal);
    const manager = await connection.jetstreamManager({
      checkAPI: false,
      timeout: options.timeoutMs ?? 5_000,
      ...(options.domain === undefined ? {} : { domain: options.domain }),
    });
    await createOrUpdate(manager, toConfig(name, region));
  } catch (error) {
    throw toBusError(`set up the stream "${name}"`, error);
  }
}

async function createOrUpdate(manager: JetStreamManager, config: Partial<StreamConfig>): Promise<void> {
  const name = config.name ?? "";
  try {
    await manager.streams.info(name);
  } catch (error) {
    if (!isStreamMissing(error)) throw error;
    try {
      await manager.streams.add(config);
      return;
    } catch (race) {
      // Somebody made it in the meantime, perhaps an older Weir with other settings.
      if (!isStreamInUse(race)) throw race;
    }
  }
  await manager.streams.update(name, config);
}

function toConfig(name: StreamName, region: string): Partial<StreamConfig> {
  const { subjects, retention, maxBytes } = STREAMS[name];
  const isWork = retention === "work";
  return {
    name,
    subjects: subjects(region),
    storage: StorageType.File,
    num_replicas: 1,
    retention: isWork ? RetentionPolicy.Workqueue : RetentionPolicy.Limits,
    discard: retention === "recent" ? DiscardPolicy.Old : DiscardPolicy.New,
    max_bytes: maxBytes,
    max_msgs_per_subject: MESSAGES_PER_SUBJECT[retention],
    max_msg_size: MAX_MESSAGE_BYTES,
    duplicate_window: nanos(DUPLICATE_WINDOW_MS),
  };
}
