import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { DECLARATIONS as audit } from "../services/audit/config.ts";
import { DECLARATIONS as metering } from "../services/metering/config.ts";
import { DECLARATIONS as policy } from "../services/policy/config.ts";
import { DECLARATIONS as router } from "../services/router/config.ts";
import { listenerSettings } from "../services/shared/mesh/listener.ts";
import { tlsSettings } from "../services/shared/mesh/tls.ts";
import { commonSettings, type Declarations, describeSettings } from "../services/shared/settings.ts";

const shared: Declarations = { ...commonSettings, ...tlsSettings, ...listenerSettings };

/** The settings of a service that are not those of every service. */
function findOwn(declarations: Declarations): Declarations {
  return Object.fromEntries(Object.entries(declarations).filter(([name]) => !(name in shared)));
}

describe("the READMEs", () => {
  it.each([
    ["services/shared/README.md", shared],
    ["services/audit/README.md", findOwn(audit)],
    ["services/metering/README.md", findOwn(metering)],
    ["services/policy/README.md", findOwn(policy)],
    ["services/router/README.md", findOwn(router)],
  ] satisfies [string, Declarations][])("%s has each setting as it is declared, once", (readme, declarations) => {
    const lines = readFileSync(new URL(`../${readme}`, import.meta.url), "utf8").split("\n");
    const rows = lines.filter((line) => line.startsWith("| `WEIR_"));
    expect(rows.toSorted()).toEqual(describeSettings(declarations).split("\n").slice(2).toSorted());
  });
});
