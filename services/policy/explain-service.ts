import type { ServiceImpl } from "@connectrpc/connect";
import type { ExplainService } from "../../gen/weir/policy/v1/explain_service_pb.ts";
import type { Clock } from "../shared/clock.ts";
import { toCandidates } from "../shared/decision/candidates.ts";
import { findGrantDenial } from "../shared/decision/check-grant.ts";
import { decide } from "../shared/decision/decide.ts";
import type { Denial, Plan } from "../shared/decision/plan.ts";
import { WeirError } from "../shared/errors/weir-error.ts";
import { createEventId } from "../shared/ids.ts";
import type { Catalogue, SnapshotRelease } from "./distribution/catalogue.ts";
import { decodeGrant } from "./keys/grant.ts";

/** Serves weir.policy.v1.ExplainService, with the code that routers decide by. */
export function createExplainService(parts: {
  readonly catalogue: Catalogue;
  readonly clock: Clock;
}): ServiceImpl<typeof ExplainService> {
  const { catalogue, clock } = parts;
  return {
    async explain({ region, keyId, model, eventId }) {
      // Another instance may have published a moment ago.
      await catalogue.refreshIfReachable();
      const { snapshot, keyring } = catalogue.getRegion(region);
      if (snapshot === undefined || keyring === undefined) {
        throw new WeirError("NOT_FOUND", `Cannot explain: region "${region}" has no policy`, { facts: { region } });
      }
      const nowMs = clock.nowMs();
      const call = { keyId, model, nowMs, eventId: eventId.toLowerCase() || createEventId(nowMs) };
      const decision = explain(catalogue, snapshot, call);
      const versions = {
        snapshotVersion: snapshot.version,
        snapshotDigest: snapshot.digest,
        keyringVersion: keyring.version,
      };
      if (decision.kind === "denial") return { denied: decision.reason, message: decision.message, versions };
      return { limits: decision.limits.map(({ id }) => id), candidates: toCandidates(decision), versions };
    },
  };
}

function explain(
  catalogue: Catalogue,
  { tables }: SnapshotRelease,
  { keyId, ...call }: { keyId: string; model: string; eventId: string; nowMs: number },
): Denial | Plan {
  const { tree } = catalogue.keyring;
  const bytes = tree.find(keyId);
  if (bytes === undefined) {
    const message = `Cannot accept key "${keyId}": the region does not know it`;
    return { kind: "denial", reason: "KEY_UNKNOWN", message, facts: { key_id: keyId } };
  }
  const grant = decodeGrant(bytes);
  const isDisabled = (tenant: string): boolean => tree.find(`tenant:${tenant}`) !== undefined;
  return findGrantDenial(grant, tables.snapshot.region, call.nowMs, isDisabled) ?? decide(tables, { grant, ...call });
}
