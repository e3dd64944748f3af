import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { KeyringTree } from "./digest.ts";
import { Keyring } from "./keyring.ts";
import { runAtOnce } from "./slices.ts";
import { sampleKeyEntry, sampleTenantEntry } from "./snapshots.fixture.ts";

const TENANTS = ["acme", "acme/search", "acme/search/assistant", "other"];
const tenants = fc.subarray(TENANTS);

describe("Keyring", () => {
  it("says which tenants are disabled after any row of changes, and is itself changed by none", () => {
    fc.assert(
      fc.property(fc.array(tenants, { minLength: 1, maxLength: 8 }), (versions) => {
        let keyring = Keyring.EMPTY;
        for (const disabled of versions) {
          const before = { keyring, disabled: TENANTS.filter((tenant) => keyring.isTenantDisabled(tenant)) };
          const enabled = TENANTS.filter((tenant) => !disabled.includes(tenant)).map((tenant) => `tenant:${tenant}`);
          const changed = [...disabled.map(sampleTenantEntry), sampleKeyEntry("aaaaaaaaaaaa")];

          keyring = runAtOnce(keyring.advanceSteps(keyring.tree.apply(changed, enabled)));

          expect(TENANTS.filter((tenant) => keyring.isTenantDisabled(tenant))).toEqual(disabled);
          expect(keyring.hasDisabledTenants).toBe(disabled.length > 0);
          expect(TENANTS.filter((tenant) => before.keyring.isTenantDisabled(tenant))).toEqual(before.disabled);
        }
      }),
    );
  });

  it("forgets what a keyring before it had when it comes whole", () => {
    const before = runAtOnce(Keyring.EMPTY.advanceSteps(KeyringTree.EMPTY.apply([sampleTenantEntry("acme")])));

    const keyring = runAtOnce(before.advanceSteps(KeyringTree.EMPTY.apply([sampleTenantEntry("other")])));

    expect(TENANTS.filter((tenant) => keyring.isTenantDisabled(tenant))).toEqual(["other"]);
  });
});
