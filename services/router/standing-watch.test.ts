import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { SnapshotProviderSchema, SnapshotTargetSchema } from "../../gen/weir/policy/v1/snapshot_pb.ts";
import { ManualClock } from "../shared/clock.ts";
import { createLog } from "../shared/telemetry/log.ts";
import { createMetrics } from "../shared/telemetry/metrics.ts";
import { Standings } from "./ejection/standings.ts";
import { createStandingWatch, showStandings } from "./standing-watch.ts";

const reached = {
  target: create(SnapshotTargetSchema, { id: "p/small", model: "m" }),
  upstream: {
    provider: create(SnapshotProviderSchema, { id: "p", baseUrl: "https://a.example" }),
    secret: "sk-secret",
  },
};

function start() {
  const clock = new ManualClock();
  const lines: string[] = [];
  const log = createLog({ service: "router", destination: { write: (line) => void lines.push(line) } });
  const metrics = createMetrics("router", { process: false });
  const standings = new Standings({ clock, router: "eu-1", onChange: createStandingWatch(metrics, log) });
  showStandings(metrics, standings);
  const fail = (count: number) => {
    for (let index = 0; index < count; index++) {
      const startedMs = clock.monotonicMs();
      standings.noteEnd(reached, { eventId: `e${index}`, startedMs, isAnswered: false, fault: "failed" });
    }
  };
  return { clock, lines, metrics, standings, fail };
}

describe("what operators see of a target that is ejected", () => {
  it("is one line, one count and a gauge at one, however often it fails, and never its credential", async () => {
    const { lines, metrics, fail } = start();

    fail(100);

    const page = await metrics.page();
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { level: "warn", msg: "Target ejected", target: "p/small", cause: "failed", ejections: 1 },
    ]);
    expect(page).toContain('weir_router_ejections_total{target="p/small",cause="failed"} 1');
    expect(page).toContain('weir_router_targets_ejected{target="p/small"} 1');
    expect(lines.join() + page).not.toContain("sk-secret");
  });

  it("is another line, and a gauge at zero, when it answers again", async () => {
    const { clock, lines, metrics, standings, fail } = start();
    fail(5);
    await metrics.page();
    clock.advance(5_000);

    standings.noteContent(reached, clock.monotonicMs());

    expect(lines.map((line) => JSON.parse(line).msg)).toEqual([
      "Target ejected",
      "Target answers again, and is asked more and more",
    ]);
    expect(await metrics.page()).toContain('weir_router_targets_ejected{target="p/small"} 0');
  });

  it("is nothing while all do well", async () => {
    const { lines, metrics, fail } = start();

    fail(4);

    expect(lines).toEqual([]);
    expect(await metrics.page()).not.toContain('target="p/small"');
  });
});
