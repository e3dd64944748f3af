import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { WeirError } from "../../shared/errors/weir-error.ts";
import type { Log } from "../../shared/telemetry/log.ts";
import { decodeFacts } from "./facts-frame.ts";
import { FrameType, readFrame } from "./frame.ts";
import { getOwner, isOwned, type Owner } from "./owner.ts";
import type { ProducerName } from "./producer.ts";
import { parseSegmentName, type Segment, SegmentList } from "./segment-list.ts";

/** A call that a dead router began and did not settle. */
export interface LeftOpenCall {
  readonly started: Buffer;
  /** The last note of a further attempt. */
  readonly attempt?: Buffer;
}

/** What an earlier life has left. */
export interface Leftover {
  readonly producer: ProducerName;
  readonly list: SegmentList;
  /** By event id. Empty when a successor has settled them all. */
  readonly open: ReadonlyMap<string, LeftOpenCall>;
  /** Ids of the calls of yet earlier lives that this one settled. */
  readonly settledForOthers: ReadonlySet<string>;
}

interface Identity extends ProducerName {
  readonly owner: Owner;
}

const IDENTITY = "identity.json";
const RECOVERED = "recovered";

/** Writes into a new life's directory whose it is. */
export function writeIdentity(directory: string, { region, instance, boot }: ProducerName): void {
  const identity: Identity = { region, instance, boot, owner: getOwner() };
  writeFileSync(join(directory, IDENTITY), JSON.stringify(identity), { mode: 0o600 });
}

/** Notes that every call which the life left open has been settled by a successor. */
export function markRecovered({ list }: Leftover): void {
  writeFileSync(join(list.directory, RECOVERED), "", { mode: 0o600 });
}

/** Removes what is left of a life, when the owners have all its facts. */
export function removeLeftover({ list }: Pick<Leftover, "list">): void {
  rmSync(list.directory, { recursive: true, force: true });
}

/**
 * Reads every earlier life below `root`. Throws UNAVAILABLE when one of them still lives: two routers with one state would
 * settle each other's calls. A directory that cannot be understood is left alone, with an error in the log.
 */
export async function readLeftovers(root: string, log: Log): Promise<Leftover[]> {
  const leftovers: Leftover[] = [];
  for (const entry of await readdir(root, { withFileTypes: true })) {
    if (!entry.isDirectory()) continue;
    const directory = join(root, entry.name);
    const identity = readIdentity(directory);
    if (identity === undefined) {
      // It died between making the directory and writing whose it is: then nothing else is in it. What else is there is somebody's.
      const names = await readdir(directory);
      if (names.every((name) => name === IDENTITY)) rmSync(directory, { recursive: true });
      else log.error({ directory: entry.name }, "Cannot tell whose facts these are; they stay where they are");
      continue;
    }
    if (isOwned(identity.owner)) {
      throw new WeirError("UNAVAILABLE", `Cannot open spool: process ${identity.owner.pid} is still using it`, {
        facts: { pid: String(identity.owner.pid) },
      });
    }
    leftovers.push(await readLife(directory, identity, log));
  }
  return leftovers;
}

async function readLife(directory: string, { region, instance, boot }: Identity, log: Log): Promise<Leftover> {
  const list = new SegmentList(directory);
  const indexes = (await readdir(directory)).flatMap((name) => parseSegmentName(name) ?? []).sort((a, b) => a - b);
  const open = new Map<string, LeftOpenCall>();
  const settledForOthers = new Set<string>();
  for (const index of indexes) {
    const segment = list.add(index);
    const bytes = await readFile(segment.path);
    readSegment(bytes, list, segment, open, settledForOthers);
    if (segment.bytes < bytes.length) {
      const cut = bytes.length - segment.bytes;
      // Only the last entry of a killed process can be torn; elsewhere the disk has lost something.
      if (index === indexes.at(-1)) log.info({ boot, cut }, "Cut the torn end of a killed router's spool");
      else log.error({ boot, segment: index, cut }, "Cannot read a part of the spool");
    }
  }
  if (existsSync(join(directory, RECOVERED))) open.clear();
  return { producer: { region, instance, boot }, list, open, settledForOthers };
}

function readSegment(
  bytes: Buffer,
  list: SegmentList,
  segment: Segment,
  open: Map<string, LeftOpenCall>,
  settledForOthers: Set<string>,
): void {
  for (;;) {
    const verdict = readFrame(bytes, segment.bytes);
    if (verdict.kind !== "frame") return;
    const { type, payload } = verdict.frame;
    list.grow(segment, verdict.bytes);
    if (type === FrameType.FACTS) {
      const facts = decodeFacts(payload);
      list.noteFacts(segment, facts.usageSeq, facts.recordSeq);
      if (!open.delete(facts.eventId) && facts.usageSeq > 0) settledForOthers.add(facts.eventId);
    } else if (type === FrameType.STARTED || type === FrameType.ATTEMPT) {
      const eventId = payload.toString("latin1", 0, 36);
      const rest = Buffer.from(payload.subarray(36));
      const known = open.get(eventId);
      if (type === FrameType.STARTED) open.set(eventId, { ...known, started: rest });
      else if (known !== undefined) open.set(eventId, { ...known, attempt: rest });
    }
  }
}

function readIdentity(directory: string): Identity | undefined {
  try {
    const identity = JSON.parse(readFileSync(join(directory, IDENTITY), "utf8")) as Identity;
    const texts = [identity.region, identity.instance, identity.boot];
    return texts.every((text) => typeof text === "string") && typeof identity.owner?.pid === "number"
      ? identity
      : undefined;
  } catch {
    return undefined;
  }
}
