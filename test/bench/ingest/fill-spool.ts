/** Writes calls into a router's spool as a router does that cannot ship them: `fill-spool.ts <directory> <region> <boot> <calls>`. */
import { sampleAttempt, sampleCall, sampleOutcome } from "../../../services/router/accounting/calls.fixture.ts";
import { openAccounting } from "../../../services/router/accounting/open-accounting.ts";
import { createEventId } from "../../../services/shared/ids.ts";
import { createLog } from "../../../services/shared/telemetry/log.ts";

const [directory = "", region = "", boot = "", count = "0"] = process.argv.slice(2);
const away = async (): Promise<never> => {
  throw new Error("Cannot ship: this life only fills the spool");
};
const accounting = await openAccounting({
  producer: { region, instance: `${region}-1`, boot },
  directory,
  limitBytes: 16 * 2 ** 30,
  roads: { publish: away, getWatermark: away },
  log: createLog({ service: "bench", level: "silent" }),
});
const { caller, versions, candidates } = sampleCall();
const target = candidates[0]!.target;
const nobody = { onBegun: () => undefined, onRefused: () => undefined, onSettled: () => undefined };
for (let index = 0; index < Number(count); index++) {
  const nowMs = Date.now();
  const call = accounting.begin(
    sampleCall({ eventId: createEventId(nowMs), caller, versions, candidates, startedAtMs: nowMs - 500 }),
    nobody,
  );
  const attempt = sampleAttempt({
    target,
    startedAtMs: nowMs - 490,
    firstContentAtMs: nowMs - 300,
    endedAtMs: nowMs,
  });
  call.settle({ ...sampleOutcome([attempt]), endedAtMs: nowMs });
  // Its timers want their turn too.
  if (index % 1_000 === 0) await new Promise((resolve) => setImmediate(resolve));
}
await accounting.close(0);
