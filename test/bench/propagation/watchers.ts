/** A process of light watchers: started by `watcher-process.ts`, told by messages what to do. */
import { parseTrust } from "../../../services/shared/note/trust.ts";
import { VerifiedKeyrings } from "./verified-keyrings.ts";
import { Watcher } from "./watcher.ts";
import type { Answer, Order } from "./watcher-process.ts";

const watchers = new Map<string, Watcher>();
/** When each watcher had each version, by version: milliseconds of the machine's monotonic clock. */
let seen = new Map<bigint, number[]>();
let failures: string[] = [];
let verified: VerifiedKeyrings | undefined;
let held: { readonly version: bigint; readonly digest: Uint8Array } | undefined;

function say(answer: Answer): void {
  process.send?.(answer);
}

function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

function note(version: bigint): void {
  const times = seen.get(version) ?? [];
  times.push(nowMs());
  seen.set(version, times);
}

function start(order: Extract<Order, { do: "start" }>): void {
  verified ??= new VerifiedKeyrings(parseTrust(order.trust));
  const from = order.from === "held" ? held : undefined;
  let waiting = order.names.length;
  const startedAtMs = nowMs();
  const takenOnAfterMs: number[] = [];
  const readyAfterMs: number[] = [];
  for (const [index, name] of order.names.entries()) {
    let isReady = false;
    let last = from?.version ?? 0n;
    const ready = (): void => {
      if (isReady) return;
      isReady = true;
      readyAfterMs.push(nowMs() - startedAtMs);
      waiting -= 1;
      if (waiting === 0) say({ said: "started", takenOnAfterMs, readyAfterMs });
    };
    const watcher = new Watcher(
      {
        address: order.addresses[index % order.addresses.length] as string,
        region: order.region,
        instance: name,
        boot: order.boot,
        keyringVersion: from?.version ?? 0n,
        keyringDigest: from?.digest ?? new Uint8Array(),
        // Newer than any: what is watched is the keyring, and a thousand snapshots would only take time.
        snapshotVersion: 2n ** 62n,
        snapshotDigest: new Uint8Array(),
      },
      verified,
      {
        onTakenOn: () => takenOnAfterMs.push(nowMs() - startedAtMs),
        onVerified: ({ version, tree }) => {
          held = { version, digest: tree.digest() };
          // One that was slow skips to the latest, and has with it all that came before.
          for (let one = last === 0n ? version : last + 1n; one <= version; one++) note(one);
          last = version;
        },
        // Who waits for its turn to get a whole keyring is sent heartbeats meanwhile.
        onHeartbeat: (version) => {
          if (last >= version) ready();
        },
        onFailed: (error) => {
          if (failures.length < 100) failures.push(`${name}: ${error.message}`);
          ready();
        },
      },
    );
    watchers.set(name, watcher);
  }
}

process.on("message", (order: Order) => {
  switch (order.do) {
    case "start":
      return start(order);
    case "stop": {
      for (const name of order.names) {
        watchers.get(name)?.close();
        watchers.delete(name);
      }
      return say({ said: "stopped" });
    }
    case "read": {
      const bytes = [...watchers.values()].reduce((sum, watcher) => sum + watcher.bytes, 0);
      say({ said: "read", seen: [...seen].map(([version, times]) => [String(version), times]), bytes, failures });
      seen = new Map();
      failures = [];
    }
  }
});
process.on("disconnect", () => process.exit());
