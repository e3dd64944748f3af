import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FindingSchema, type Policy, PolicySchema, Severity } from "../../gen/weir/policy/v1/policy_pb.ts";
import { isWorthChecking, locateFindings, readPolicyTree } from "./read-policy-tree.ts";
import { listFindings, readTexts, writeTree } from "./tree.fixture.ts";

/** The ids of a policy as a tree, in the order of their letters. */
function sortIds({ models, organisations }: Policy): unknown {
  const byId = (a: { id: string }, b: { id: string }) => (a.id < b.id ? -1 : 1);
  const list = <T extends { id: string }>(items: readonly T[], below: (item: T) => unknown = () => []) =>
    [...items].sort(byId).map((each) => [each.id, below(each)]);
  return [list(models), list(organisations, ({ teams }) => list(teams, ({ apps }) => list(apps)))];
}

describe("readPolicyTree()", () => {
  it("makes one policy of all files, their lists one after the other", () => {
    const root = writeTree({
      "mesh.yaml": "organisation: acme\nregions: [{ id: eu }]\n",
      "us/region.json": '{"regions": [{"id": "us", "display_name": "United States"}]}',
    });

    const { policy, findings } = readPolicyTree(root);

    expect(findings).toEqual([]);
    expect(policy).toMatchObject({ organisation: "acme", regions: [{ id: "eu" }, { id: "us" }] });
  });

  it("knows where each field stands, and for one that is not there the nearest thing around it", () => {
    const tree = readTexts({
      "a.yaml": "models:\n  - id: m\n    routes:\n      - { target: x }\n",
      "b.yaml": "# More\nmodels:\n  - id: n\n    routes: []\n",
    });

    expect(tree.locate("models[0].routes[0].target")).toEqual({ file: "a.yaml", line: 4, column: 19 });
    expect(tree.locate("models[1].routes")).toEqual({ file: "b.yaml", line: 4, column: 5 });
    expect(tree.locate("models[1].display_name")).toEqual({ file: "b.yaml", line: 3, column: 5 });
    expect(tree.locate("models[0].routes[7].weight")).toEqual({ file: "a.yaml", line: 3, column: 5 });
    expect(tree.locate("organisation")).toEqual({ file: "policy" });
    expect(tree.locate("")).toEqual({ file: "policy" });
  });

  it("makes one organisation and one team of their parts in several files", () => {
    const { policy, findings } = readTexts({
      "acme.yaml": "organisations: [{ id: acme, displayName: Acme }]",
      "checkout.yaml":
        "organisations: [{ id: acme, teams: [{ id: shop, apps: [{ id: checkout, environments: [p] }] }] }]",
      "other.yaml": "organisations: [{ id: other, teams: [{ id: shop }] }, { id: acme, displayName: Acme }]",
      "stock.yaml":
        "organisations: [{ id: acme, teams: [{ id: shop, apps: [{ id: stock, environments: [p] }] }, { id: it }] }]",
    });

    expect(findings).toEqual([]);
    expect(policy.organisations).toMatchObject([
      {
        id: "acme",
        displayName: "Acme",
        teams: [{ id: "shop", apps: [{ id: "checkout" }, { id: "stock" }] }, { id: "it" }],
      },
      { id: "other", teams: [{ id: "shop" }] },
    ]);
  });

  it("reads the same policy however its items are spread over files", () => {
    const item = (what: string) => fc.integer({ min: 0, max: 99 }).map((n) => ({ id: `${what}${n}` }));
    const unique = <T extends { id: string }>(each: fc.Arbitrary<T>) =>
      fc.uniqueArray(each, { maxLength: 5, selector: ({ id }) => id });
    const team = fc.record({ id: fc.constantFrom("t1", "t2", "t3"), apps: unique(item("app")) });
    const organisation = fc.record({ id: fc.constantFrom("o1", "o2", "o3"), teams: unique(team) });
    const policy = fc.record({ models: unique(item("m")), organisations: unique(organisation) });
    fc.assert(
      fc.property(policy, fc.infiniteStream(fc.nat(3)), (whole, choices) => {
        // Each item, and each app with the team and organisation around it, goes into a file of its own choice.
        const files = new Map<number, { models: object[]; organisations: object[] }>();
        const choose = () => {
          const file = choices.next().value as number;
          const part = files.get(file) ?? { models: [], organisations: [] };
          files.set(file, part);
          return part;
        };
        for (const model of whole.models) choose().models.push(model);
        for (const { id, teams } of whole.organisations) {
          const parts = [
            { id },
            ...teams.flatMap((t) => [
              { id, teams: [{ id: t.id }] },
              ...t.apps.map((app) => ({ id, teams: [{ id: t.id, apps: [app] }] })),
            ]),
          ];
          // One file says an organisation once, so each part gets a file.
          parts.forEach((part) => {
            files.set(files.size + 10, { models: [], organisations: [part] });
          });
        }
        const texts = [...files].map(([file, part]) => [`${file}.yaml`, JSON.stringify(part)] as const);

        const spread = readTexts(Object.fromEntries(texts));
        const together = readTexts({ "all.yaml": JSON.stringify(whole) });

        expect(spread.findings).toEqual([]);
        expect(sortIds(spread.policy)).toEqual(sortIds(together.policy));
      }),
      { numRuns: 100 },
    );
  });

  it("leaves an id that one file has twice for policy to find, at its place", () => {
    const tree = readTexts({
      "a.yaml": "organisations: [{ id: acme }]",
      "b.yaml": "organisations:\n  - id: acme\n  - id: acme\n",
    });

    expect(tree.policy.organisations.map(({ id }) => id)).toEqual(["acme", "acme"]);
    expect(tree.locate("organisations[1].id")).toMatchObject({ file: "b.yaml", line: 3 });
  });

  it("finds a field that two files give, and names both places", () => {
    const tree = readTexts({
      "a.yaml": "organisation: acme\norganisations: [{ id: acme, displayName: Acme }]",
      "b.yaml": "organisation: other\norganisations: [{ id: acme, displayName: ACME }]",
    });

    expect(listFindings(tree)).toEqual([
      "b.yaml:2:29 organisations[0].display_name FIELD_TWICE",
      "b.yaml:1:1 organisation FIELD_TWICE",
    ]);
    expect(tree.findings[1]?.message).toContain("a.yaml on line 1");
  });

  it("says all that is wrong at once, file, line, column and field", () => {
    const tree = readTexts({
      "limits.yaml": "limits:\n  - id: web\n    requestPerMinute: 60\n    per: LIMIT_PER_KYE\n    tenants:\n",
      "models.yaml": "models:\n  - id: 5\n    routes: { target: x }\n  - just text\nmodelz: []\n",
      "targets.yaml": [
        "targets:",
        "  - id: t",
        "    prices: { input: 0.15, output: '1' }",
        "    maxOutputTokens: lots",
        "    timeouts: { idle: 5, total: 5s }",
      ].join("\n"),
    });

    expect(listFindings(tree)).toEqual([
      "limits.yaml:3:5 limits[0].requestPerMinute FIELD_UNKNOWN",
      "limits.yaml:4:10 limits[0].per ENUM_UNKNOWN",
      "limits.yaml:5:5 limits[0].tenants VALUE_MISSING",
      "models.yaml:2:9 models[0].id TYPE_WRONG",
      "models.yaml:3:13 models[0].routes TYPE_WRONG",
      "models.yaml:4:5 models[1] TYPE_WRONG",
      "models.yaml:5:1 modelz FIELD_UNKNOWN",
      "targets.yaml:3:22 targets[0].prices.input TYPE_WRONG",
      "targets.yaml:4:22 targets[0].max_output_tokens TYPE_WRONG",
      "targets.yaml:5:23 targets[0].timeouts.idle TYPE_WRONG",
    ]);
    expect(tree.findings.map(({ message }) => message)).toEqual(
      expect.arrayContaining([
        expect.stringContaining('did you mean "requestsPerMinute"?'),
        "Did you mean LIMIT_PER_KEY?",
        expect.stringContaining('in quotes, "0.15"'),
        expect.stringContaining('did you mean "models"?'),
      ]),
    );
  });

  it.each<[string, string, string]>([
    ["broken YAML", "regions:\n  - id: [eu\n", "p.yaml:3:1 YAML_INVALID"],
    ["a tab as indentation", "regions:\n\t- id: eu\n", "p.yaml:2:1 YAML_INVALID"],
    ["a name twice", "organisation: a\norganisation: b\n", "p.yaml:2:1 FIELD_TWICE"],
    ["several documents", "organisation: a\n---\norganisation: b\n", "p.yaml:2:1 YAML_INVALID"],
    ["another version of YAML", "%YAML 1.1\n---\norganisation: a\n", "p.yaml:1:1 YAML_INVALID"],
    ["an unknown tag", "organisation: !!js/function x\n", "p.yaml:1:15 YAML_INVALID"],
    ["an alias of nothing", "organisation: *who\n", "p.yaml:1:15 YAML_INVALID"],
    ["an alias of what it stands in", "regions: &r\n  - *r\n", "p.yaml:2:5 YAML_INVALID"],
    ["a NUL within text", 'organisation: "a\\0b"\n', "p.yaml:1:15 organisation TEXT_CONTROL"],
    ["a list as the whole", "- organisation: a\n", "p.yaml:1:1 TYPE_WRONG"],
    ["text as the whole", "organisation\n", "p.yaml:1:1 TYPE_WRONG"],
    ["a name that is no text", "[a]: b\n", "p.yaml:1:1 YAML_INVALID"],
    ["nesting without end", `organisation: ${"[".repeat(5_000)}`, "p.yaml:1"],
    [
      "a number that no float holds",
      "targets: [{ maxOutputTokens: 9007199254740993 }]",
      "targets[0].max_output_tokens TYPE_WRONG",
    ],
    [
      "a field by both of its names",
      "regions: [{ displayName: a, display_name: b }]",
      "regions[0].display_name FIELD_TWICE",
    ],
  ])("finds %s", (_, text, expected) => {
    expect(listFindings(readTexts({ "p.yaml": text })).join("\n")).toContain(expected);
  });

  it("says of a merge key what to do without it", () => {
    const { findings } = readTexts({ "p.yaml": "regions:\n  - <<: { id: eu }\n" });

    expect(findings.map(({ message }) => message)).toEqual([expect.stringContaining("repeat the fields")]);
  });

  it("says of nesting beyond the parser's stack how deep values may be nested, and nothing else", () => {
    const { findings } = readTexts({ "p.yaml": `a: ${"[".repeat(100_000)}${"]".repeat(100_000)}\n` });

    expect(new Set(findings.map(({ message }) => message))).toEqual(new Set(["Values may be nested 64 deep"]));
  });

  it.each(["", "# Nothing yet\n", "---\n", "null\n", "{}"])("takes %j for a file that says nothing", (text) => {
    const tree = readTexts({ "a.yaml": text, "b.yaml": "organisation: a" });

    expect(tree.findings).toEqual([]);
    expect(tree.policy.organisation).toBe("a");
  });

  it("reads JSON that is indented by tabs", () => {
    expect(
      readTexts({ "p.json": '{\n\t"organisation": "a",\n\t"regions": [\n\t\t{ "id": "eu" }\n\t]\n}' }).findings,
    ).toEqual([]);
  });

  it("repeats what an alias names, and stops at one that makes too much of little", () => {
    const shared = readTexts({
      "p.yaml": "targets:\n  - { id: a, prices: &p { input: '1', output: '2' } }\n  - { id: b, prices: *p }\n",
    });
    expect(shared.findings).toEqual([]);
    expect(shared.policy.targets[1]?.prices?.output).toBe("2");

    const route = "{ target: t, priority: 1, weight: 1 }";
    const bomb = [
      `models: [&m { id: m, routes: [${Array(300).fill(route).join(", ")}] }`,
      ...Array(400).fill(", *m"),
      "]",
    ].join("");
    expect(listFindings(readTexts({ "p.yaml": bomb }))).toEqual([expect.stringMatching(/ TREE_TOO_LARGE$/)]);
  });

  it("makes nothing of aliases where a text is wanted, however much they stand for", () => {
    const lists = Array.from({ length: 40 }, (_, depth) => `&l${depth + 1} [*l${depth}, *l${depth}]`);
    const text = `rollout:\n  gates:\n    appliedWithin:\n      [&l0 [1], ${lists.join(", ")}]\n`;

    expect(listFindings(readTexts({ "p.yaml": text }))).toEqual(["p.yaml:4:7 rollout.gates.applied_within TYPE_WRONG"]);
  });

  it("never throws and always ends, whatever the files say", () => {
    const text = fc.oneof(
      fc.string({ unit: "binary", maxLength: 200 }),
      // Made of what YAML and policies are made of, so that more of it gets past the parser.
      fc
        .array(
          fc.constantFrom(
            ...["regions", "models", "organisations", "timeouts", "id", "teams", "routes", "__proto__", "labels"],
            ...[": ", "\n", "\n  ", "\n  - ", "- ", "[", "]", "{", "}", ", ", "&a ", "*a", "!!str ", "? ", "| ", "> "],
            ...["eu", "5", "0.1", "null", "true", "'x'", '"y"', "---\n", "#", "\t", "\u0000", ".nan", "1e999", "<<"],
          ),
          { maxLength: 60 },
        )
        .map((parts) => parts.join("")),
    );
    fc.assert(
      fc.property(fc.array(text, { maxLength: 3 }), (texts) => {
        const files = Object.fromEntries(texts.map((content, index) => [`${index}.yaml`, content]));
        const tree = readTexts(files);
        // What was read is either right or found fault with, and each finding has a place in a file that there is.
        for (const { file, rule } of tree.findings) {
          expect(Object.keys(files)).toContain(file);
          expect(rule).toMatch(/^[A-Z_]+$/);
        }
        expect(tree.policy.$typeName).toBe(PolicySchema.typeName);
      }),
      { numRuns: 500 },
    );
  });
});

describe("locateFindings()", () => {
  const unknownTarget = create(FindingSchema, {
    field: "models[1].routes[0].target",
    rule: "TARGET_UNKNOWN",
    message: "There is none",
    severity: Severity.ERROR,
  });

  it("puts what policy found at its place", () => {
    const tree = readTexts({ "m.yaml": "models:\n  - id: a\n  - id: b\n    routes: [{ target: x }]\n" });

    expect(locateFindings(tree, [unknownTarget])).toEqual([
      {
        file: "m.yaml",
        line: 4,
        column: 24,
        field: unknownTarget.field,
        rule: "TARGET_UNKNOWN",
        message: "There is none",
        severity: Severity.ERROR,
      },
    ]);
  });

  it("says where other items stand that a message names", () => {
    const tree = readTexts({ "a.yaml": "models:\n  - id: m\n", "b.yaml": "models:\n  - id: m\n" });
    const message = '"m" is also the id of models[0]; give one another id';
    const twice = create(FindingSchema, {
      field: "models[1].id",
      rule: "ID_DUPLICATE",
      message,
      severity: Severity.ERROR,
    });

    expect(locateFindings(tree, [twice])).toMatchObject([
      { file: "b.yaml", line: 2, message: '"m" is also the id of models[0] (a.yaml:2:5); give one another id' },
    ]);
  });

  it("leaves out what follows from the files' own findings", () => {
    const tree = readTexts({ "m.yaml": "models:\n  - id: a\n    rotes: []\n  - id: b\n    routes: [{ target: x }]\n" });
    const follows = create(FindingSchema, {
      field: "models[0].routes",
      rule: "REPEATED_MIN_ITEMS",
      severity: Severity.ERROR,
    });
    const warning = create(FindingSchema, { field: "targets[0]", rule: "TARGET_UNUSED", severity: Severity.WARNING });

    expect(isWorthChecking(tree)).toBe(true);
    expect(locateFindings(tree, [follows, unknownTarget, warning]).map(({ rule }) => rule)).toEqual([
      "FIELD_UNKNOWN",
      "TARGET_UNKNOWN",
    ]);
  });

  it.each(["regions: [", "modelz: []", "models: 5", "targets: [{ id: 5 }]"])(
    "is not worth a question when %j says too little",
    (text) => {
      expect(isWorthChecking(readTexts({ "p.yaml": text }))).toBe(false);
    },
  );
});
