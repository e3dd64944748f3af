import type { Contender } from "./contender.ts";
import { createDirect } from "./direct.ts";
import { createDiskRouter } from "./disk-router.ts";
import { haproxy } from "./haproxy.ts";
import { nginx } from "./nginx.ts";
import { portkey } from "./portkey.ts";
import { createRelay } from "./relay.ts";
import { weir } from "./weir.ts";
import { createStrippedRouter } from "./weir-parts.ts";

/** Every contender. A further one is an entry here and a file beside it. */
export const CONTENDERS: readonly Contender[] = [
  createDirect("direct"),
  createDirect("direct-again"),
  createRelay("relay"),
  createRelay("relay-again"),
  weir,
  createStrippedRouter({
    name: "weir-unmetered",
    about: "Weir without metering and audit",
    hasLimit: true,
    hasMetrics: true,
  }),
  createStrippedRouter({
    name: "weir-off",
    about: "Weir, everything off: no limits, no metering, no audit, no metrics",
    hasLimit: false,
    hasMetrics: false,
  }),
  createDiskRouter({ name: "weir-disk", about: "Weir's router alone, from disk: facts stay in its spool" }),
  portkey,
  nginx,
  haproxy,
];
