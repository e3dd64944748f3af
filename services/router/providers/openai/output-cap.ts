import { JsonScan, watchKeys } from "../json-scan.ts";
import { blankMember } from "./blank-member.ts";

const OLDER = 0;
const NEWER = 1;
const scan = new JsonScan(watchKeys(["max_tokens", "max_completion_tokens"]));
const QUOTE = 0x22;
const SPACE = 0x20;
const OLDER_NAME = Buffer.from('"max_tokens"');

/**
 * A request whose cap on the answer's tokens stands under its older name, `max_tokens`. Everything stays in its place, since the older name
 * is shorter: spaces fill up. Where both names stand, the newer member is blanked. The bytes themselves when nothing must change; else a
 * copy, for another target may know the newer name only. They were scanned before, so they are an object.
 */
export function renameOutputCap(bytes: Buffer): Buffer {
  if (!scan.scan(bytes, 0, bytes.length)) return bytes;
  const start = scan.starts[NEWER]!;
  if (start < 0) return bytes;
  const renamed = Buffer.from(bytes);
  if (scan.starts[OLDER]! >= 0) {
    blankMember(renamed, bytes.indexOf(0x7b), start, scan.ends[NEWER]!, bytes.lastIndexOf(0x7d));
    return renamed;
  }
  const close = bytes.lastIndexOf(QUOTE, start - 1);
  const open = bytes.lastIndexOf(QUOTE, close - 1);
  renamed.set(OLDER_NAME, open);
  renamed.fill(SPACE, open + OLDER_NAME.length, close + 1);
  return renamed;
}
