import { describe, expect, it } from "vitest";
import { generateNoteKey } from "../../shared/note/note.ts";
import { readLogKeys } from "./keys.ts";

const ORIGIN = "weir.local/audit/eu";
const refused = expect.objectContaining({ reason: "SETTING_INVALID" });

describe("readLogKeys()", () => {
  it("knows the log by its own key and by those it signed with before", () => {
    const [now, before] = [generateNoteKey(ORIGIN), generateNoteKey(ORIGIN)];
    const { signer, identity } = readLogKeys({
      origin: ORIGIN,
      signerKey: now.signerKey,
      retiredKeys: before.verifierKey,
    });
    expect(signer.verifierKey).toBe(now.verifierKey);
    expect(identity.verifiers.map(({ encoded }) => encoded)).toEqual([now.verifierKey, before.verifierKey]);
  });

  it("refuses the key of another log", () => {
    const stranger = generateNoteKey("weir.local/audit/us");
    expect(() => readLogKeys({ origin: ORIGIN, signerKey: stranger.signerKey })).toThrow(refused);
    const own = generateNoteKey(ORIGIN).signerKey;
    expect(() => readLogKeys({ origin: ORIGIN, signerKey: own, retiredKeys: stranger.verifierKey })).toThrow(refused);
  });
});
