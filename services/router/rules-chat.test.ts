import { create, type MessageInitShape } from "@bufbuild/protobuf";
import OpenAI from "openai";
import { afterEach, describe, expect, it } from "vitest";
import { Dialect } from "../../gen/weir/policy/v1/policy_pb.ts";
import { type SnapshotRuleSchema, SnapshotSchema } from "../../gen/weir/policy/v1/snapshot_pb.ts";
import { PriorityClass, RuleEffect } from "../../gen/weir/type/v1/decision_pb.ts";
import {
  answerWell,
  createSnapshot,
  type HarnessOptions,
  type HarnessProvider,
  startHarness,
  startProvider,
} from "./harness.fixture.ts";
import { typedOnly } from "./providers/typed-only.fixture.ts";

const closing: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const part of closing.splice(0).reverse()) await part.close();
});

async function start(rules: MessageInitShape<typeof SnapshotRuleSchema>[], options: Partial<HarnessOptions> = {}) {
  const provider = await startProvider(answerWell);
  closing.push(provider);
  const providers: HarnessProvider[] = [{ baseUrl: provider.url }, { baseUrl: provider.url }];
  const snapshot = create(SnapshotSchema, { ...createSnapshot({ providers, ...options }), rules: [] });
  snapshot.rules.push(...create(SnapshotSchema, { rules }).rules);
  const router = await startHarness({ providers, ...options, snapshot });
  closing.push(router);
  const client = new OpenAI({ baseURL: router.url, apiKey: router.key, maxRetries: 0 });
  const ask = (more: object = {}) =>
    client.chat.completions.create({ model: "small", messages: [{ role: "user", content: "hi" }], ...more });
  return { router, provider, ask, client };
}

const bodyOf = (provider: { requests: readonly { body: string }[] }) =>
  JSON.parse(provider.requests.at(-1)?.body ?? "");

describe("a chat under rules", () => {
  it("is denied with the rule's words and id, before any provider is asked, and counted", async () => {
    const { router, provider, ask } = await start([
      { id: "no-tools", when: "call.has_tools", effect: { case: "deny", value: "Tools are not for this key" } },
    ]);
    const tools = [{ type: "function" as const, function: { name: "f" } }];

    const error = await ask({ tools }).catch((thrown: InstanceType<typeof OpenAI.APIError>) => thrown);

    expect(error).toMatchObject({ status: 403, code: "rule_denied" });
    expect(String(error)).toContain("Cannot start call: Tools are not for this key");
    expect(router.accounting.refusals).toMatchObject([{ reason: "RULE_DENIED", facts: { rule: "no-tools" } }]);
    expect(provider.requests).toHaveLength(0);
    await ask();
    expect(router.accounting.started[0]?.rules).toMatchObject({ matched: [], hasTools: false });
  });

  it("goes to the targets alone that rules leave, with what bore on it in its record", async () => {
    const { router, ask } = await start(
      [
        {
          id: "second",
          when: 'caller.labels.tier == "gold"',
          effect: { case: "targetsOnly", value: { ids: ["p1/small"] } },
        },
        { id: "rank", effect: { case: "priorityClass", value: PriorityClass.SHEDDABLE } },
      ],
      { grant: { labels: { tier: "gold" } } },
    );

    await ask();

    const [{ started, outcome }] = router.accounting.outcomes as [(typeof router.accounting.outcomes)[0]];
    expect(outcome.attempts.map(({ target }) => target.id)).toEqual(["p1/small"]);
    expect(started.rejected).toMatchObject([{ target: { id: "p0/small" }, reason: "RULE_EXCLUDED", rule: "second" }]);
    expect(started.rules).toMatchObject({
      matched: [
        { rule: "second", effect: RuleEffect.TARGETS },
        { rule: "rank", effect: RuleEffect.PRIORITY_CLASS },
      ],
      labels: { tier: "gold" },
      priorityClass: PriorityClass.SHEDDABLE,
    });
  });

  it("asks a provider for no more tokens than rules allow, and is bounded by that", async () => {
    const { router, provider, ask } = await start([{ id: "cap", effect: { case: "capOutputTokens", value: 64n } }]);

    await ask();
    expect(bodyOf(provider)).toMatchObject({ model: "upstream-0", max_completion_tokens: 64 });
    await ask({ max_tokens: 4_000, n: 2 });
    expect(bodyOf(provider)).toMatchObject({ max_tokens: 64 });
    await ask({ max_tokens: 8 });
    expect(bodyOf(provider)).toMatchObject({ max_tokens: 8 });

    expect(router.accounting.started.map(({ maxOutputTokens }) => maxOutputTokens)).toEqual([64n, 128n, 8n]);
    expect(router.accounting.started.map(({ rules }) => rules?.askedOutputTokens)).toEqual([undefined, 4_000n, 8n]);
  });

  it("is capped in translation too", async () => {
    const { provider, ask } = await start([{ id: "cap", effect: { case: "capOutputTokens", value: 64n } }], {
      dialects: new Map([[Dialect.OPENAI, typedOnly]]),
    });

    await ask({ max_completion_tokens: 4_000 });
    expect(bodyOf(provider)).toMatchObject({ max_completion_tokens: 64 });
    await ask();
    expect(bodyOf(provider)).toMatchObject({ max_completion_tokens: 64 });
  });

  it("waits no longer than rules allow", async () => {
    const provider = await startProvider(() => undefined);
    closing.push(provider);
    const snapshot = createSnapshot({ providers: [provider.url] });
    snapshot.rules.push(
      ...create(SnapshotSchema, {
        rules: [{ id: "hurry", effect: { case: "timeouts", value: { firstToken: { nanos: 50_000_000 } } } }],
      }).rules,
    );
    const router = await startHarness({ providers: [provider.url], snapshot });
    closing.push(router);
    const client = new OpenAI({ baseURL: router.url, apiKey: router.key, maxRetries: 0 });

    const error = await client.chat.completions
      .create({ model: "small", messages: [{ role: "user", content: "hi" }] })
      .catch((thrown: unknown) => thrown);

    expect(error).toMatchObject({ status: 504, code: "provider_timeout" });
    expect(String(error)).toContain("within 50 ms");
  });

  it("does not see a model of which rules deny every call", async () => {
    const { client } = await start([{ id: "no", models: ["small"], effect: { case: "deny", value: "" } }]);

    expect((await client.models.list()).data).toEqual([]);
  });
});
