import type { Duration } from "@bufbuild/protobuf/wkt";
import {
  type Release,
  ReleaseState,
  ReleaseStateSchema,
  type ReleaseWave,
} from "../../../gen/weir/policy/v1/release_pb.ts";
import { escapeControl } from "../../output.ts";

/** A release in one line: its version, how far it is, where, and why. */
export function describeRelease(release: Release): string {
  const { policyVersion, state, waves, wave, admitted, applied, rolledBackBy, reasons } = release;
  const parts = [`version ${policyVersion}: ${nameState(state)}`];
  if (isRunning(state) && state !== ReleaseState.PENDING) {
    parts.push(
      `wave ${wave + 1} of ${waves.length} (${describeWave(waves[wave])})`,
      `${applied} of ${admitted} routers run it`,
    );
  }
  if (state === ReleaseState.DONE && waves.length === 0) parts.push("all at once");
  if (rolledBackBy > 0n) parts.push(`by version ${rolledBackBy}`);
  const why = isRunning(state) ? [] : reasons;
  return escapeControl([parts.join(", "), ...why].join(": "));
}

/** What a release waits for, and what its routers did with calls, a line each; empty for one that has ended. */
export function describeProgress({ state, reasons, newTraffic, oldTraffic }: Release): string[] {
  if (!isRunning(state)) return [];
  const lines = reasons.map((reason) => escapeControl(reason));
  for (const [who, traffic] of [
    ["routers with it", newTraffic],
    ["the others", oldTraffic],
  ] as const) {
    const { calls = 0n, failures = 0n, denials = 0n } = traffic ?? {};
    if (calls === 0n) continue;
    const own =
      traffic?.overheadP95 === undefined
        ? ""
        : `, 95 of 100 took up to ${describeMs(traffic.overheadP95)} ms of their own`;
    lines.push(`${who}: ${calls} calls, ${failures} failed, ${denials} denied by the policy${own}`);
  }
  return lines;
}

function describeMs({ seconds, nanos }: Duration): number {
  return Number(seconds) * 1_000 + nanos / 1e6;
}

function nameState(state: ReleaseState): string {
  return ReleaseStateSchema.value[state]?.localName.toLowerCase().replace("_", " ") ?? "unknown";
}

function isRunning(state: ReleaseState): boolean {
  return state === ReleaseState.PENDING || state === ReleaseState.ROLLING || state === ReleaseState.BAKING;
}

function describeWave(wave: ReleaseWave | undefined): string {
  const { regions = [], routers = 0, percent = 0 } = wave ?? {};
  const share = routers > 0 ? `${routers} of each of ` : percent > 0 ? `${percent} % of ` : "";
  return `${share}${regions.join(", ")}`;
}
