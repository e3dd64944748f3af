import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { KeySettingsSchema } from "../../gen/weir/policy/v1/key_service_pb.ts";
import type { KeyGrant } from "../../gen/weir/policy/v1/snapshot_pb.ts";
import {
  createGrant,
  disableGrant,
  enableGrant,
  revokeGrant,
  rotateGrant,
  updateGrant,
} from "../../services/policy/keys/edit-grant.ts";
import { decodeGrant, encodeGrant } from "../../services/policy/keys/grant.ts";
import {
  advanceKeyring,
  EMPTY_KEYRING,
  findChangesSince,
  type KeyringState,
} from "../../services/policy/keys/keyring-state.ts";
import { identify } from "../../services/router/admission/admit.ts";
import { createKey, createSecret } from "../../services/shared/key/key.ts";
import { SnapshotHold } from "../../services/shared/snapshot/hold.ts";
import { SAMPLE_TRUST, sampleNote, sampleSnapshot } from "../../services/shared/snapshot/snapshots.fixture.ts";

// Random lives of keys on one side, deltas that are lost, repeated and come in any order on the other: a router never says of a key
// what policy did not say in the version that the router runs.

const TENANT = { organisation: "acme", team: "web", app: "search", environment: "test" };
const SETTINGS = create(KeySettingsSchema, { models: ["*"] });
const OVERLAP_MS = 10_000;

/** A key of the model: its secrets, newest last, and what became of it. */
interface ModelKey {
  readonly secrets: { readonly text: string; expiresAtMs: number }[];
  regions: string[];
  isDisabled: boolean;
  isRevoked: boolean;
}

const act = fc.record({
  act: fc.constantFrom("rotate", "rotate at once", "disable", "enable", "revoke", "to eu", "to us", "to all"),
  key: fc.nat(3),
});
/** What becomes of a delta: it arrives, is lost, arrives twice, or comes only after the one behind it. */
const road = fc.constantFrom("arrives", "lost", "twice", "late");

function expected(key: ModelKey, text: string, nowMs: number): string {
  if (key.isRevoked) return "KEY_REVOKED";
  const secret = key.secrets.find((one) => one.text === text);
  if (secret === undefined) return "KEY_UNKNOWN";
  if (key.isDisabled) return "KEY_DISABLED";
  if (key.regions.length > 0 && !key.regions.includes("eu")) return "KEY_REGION_NOT_ALLOWED";
  return nowMs >= secret.expiresAtMs ? "KEY_EXPIRED" : "good";
}

describe("lives of keys", () => {
  it("C2: a router honours exactly the secrets of the version that it runs, whatever became of the deltas before", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(act, road), { maxLength: 30 }), (history) => {
        let nowMs = Date.UTC(2026, 0, 1);
        const hold = new SnapshotHold({ trust: SAMPLE_TRUST, region: "eu" });
        const snapshot = sampleSnapshot(1n);
        hold.offerSnapshot(snapshot.note, snapshot.content);
        const texts: { readonly key: number; readonly text: string }[] = [];
        const keys = Array.from({ length: 4 }, (_, index) => {
          const { keyId, text, sha256 } = createKey("test");
          texts.push({ key: index, text });
          const model: ModelKey = {
            secrets: [{ text, expiresAtMs: Number.POSITIVE_INFINITY }],
            ...{ regions: [], isDisabled: false, isRevoked: false },
          };
          return { keyId, model, grant: createGrant({ keyId, sha256 }, TENANT, SETTINGS) };
        });
        const models = new Map<bigint, ModelKey[]>();
        let state = EMPTY_KEYRING;
        const advance = (grants: readonly KeyGrant[]) => {
          const version = state.version + 1n;
          const changes = grants.map((grant) => ({ id: grant.keyId, grant: encodeGrant(grant), version }));
          state = advanceKeyring(state, version, changes);
          models.set(version, structuredClone(keys.map(({ model }) => model)));
        };
        const offer = (sent: KeyringState, base: bigint): void => {
          const held = hold.heldKeyring();
          const changes = findChangesSince(sent, base);
          if (base > 0n && (changes === undefined || held?.head.version !== base)) return;
          const from = base === 0n ? EMPTY_KEYRING.tree : held!.keyring.tree;
          const entries =
            base === 0n ? [...sent.tree.entries()] : changes!.map(({ id, grant }) => ({ id, grant: grant! }));
          const digest = sent.tree.digest();
          hold.offerKeyring(sampleNote({ kind: "keyring", version: sent.version, digest }), from.apply(entries));
        };
        const check = (): void => {
          const pinned = hold.current();
          if (pinned === undefined) return;
          const then = models.get(pinned.keyringVersion)!;
          for (const { key, text } of texts) {
            const found = identify(pinned, { headers: { xApiKey: text }, nowMs });
            expect(found.kind === "denial" ? found.reason : "good").toBe(expected(then[key]!, text, nowMs));
          }
        };

        advance(keys.map(({ grant }) => grant));
        offer(state, 0n);
        let late: { readonly state: KeyringState; readonly base: bigint } | undefined;
        for (const [step, way] of history) {
          nowMs += 4_000;
          const key = keys[step.key]!;
          const base = state.version;
          if (!key.model.isRevoked) live(key, step.act, nowMs, (text) => texts.push({ key: step.key, text }));
          // What is stored is what is sent: a grant lives as bytes.
          key.grant = decodeGrant(encodeGrant(key.grant));
          advance([key.grant]);
          if (way === "arrives" || way === "twice") offer(state, base);
          if (way === "twice") offer(state, base);
          if (late !== undefined) offer(late.state, late.base);
          late = way === "late" ? { state, base } : undefined;
          check();
        }
        // A router that lost a delta asks for the whole, and then runs the latest.
        offer(state, 0n);
        expect(hold.heldKeyring()?.head.version).toBe(state.version);
        check();
      }),
      { numRuns: 60 },
    );
  });
});

function live(
  key: { readonly keyId: string; readonly model: ModelKey; grant: KeyGrant },
  what: string,
  nowMs: number,
  made: (text: string) => void,
): void {
  const { model } = key;
  const at = new Date(nowMs);
  if (what === "rotate" || what === "rotate at once") {
    const overlapMs = what === "rotate" ? OVERLAP_MS : 0;
    const { text, sha256 } = createSecret("test", key.keyId);
    key.grant = rotateGrant(key.grant, sha256, at, overlapMs);
    const before = model.secrets.filter(({ expiresAtMs }) => expiresAtMs === Number.POSITIVE_INFINITY);
    for (const secret of before) secret.expiresAtMs = nowMs + overlapMs;
    const kept = overlapMs > 0 ? before : [];
    model.secrets.splice(0, Number.POSITIVE_INFINITY, ...kept, { text, expiresAtMs: Number.POSITIVE_INFINITY });
    made(text);
  } else if (what === "disable") {
    key.grant = disableGrant(key.grant, at);
    model.isDisabled = true;
  } else if (what === "enable") {
    key.grant = enableGrant(key.grant);
    model.isDisabled = false;
  } else if (what === "revoke") {
    key.grant = revokeGrant(key.grant, at);
    model.isRevoked = true;
  } else {
    model.regions = what === "to all" ? [] : [what.slice(3)];
    key.grant = updateGrant(key.grant, { regions: model.regions });
  }
}
