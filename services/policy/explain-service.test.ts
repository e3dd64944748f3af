import { randomUUID } from "node:crypto";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { afterAll, beforeAll, expect, it } from "vitest";
import { RuleAnswer } from "../../gen/weir/policy/v1/explain_service_pb.ts";
import { PriorityClass, RuleEffect } from "../../gen/weir/type/v1/decision_pb.ts";
import { Operation } from "../../gen/weir/type/v1/usage_pb.ts";
import { systemClock } from "../shared/clock.ts";
import { fromConnectError } from "../shared/errors/wire.ts";
import { createEventId } from "../shared/ids.ts";
import {
  makeSampleKey,
  type PolicyHarness,
  publishSample,
  startHarness,
  type TestInstance,
} from "./harness.fixture.ts";

let harness: PolicyHarness;
let instance: TestInstance;
let keyId: string;

const RULES = [
  { id: "gold", when: 'caller.labels.tier == "gold"', allow: {} },
  { id: "night", when: "now.getHours() < 6", deny: { message: "At night" } },
  { id: "home", when: "call.has_tools", residency: { regions: ["eu"] } },
  { id: "cap", models: ["any"], capOutputTokens: 500 },
  { id: "odd", when: "1000 / call.max_output_tokens > 2", priorityClass: "PRIORITY_CLASS_CRITICAL" },
];

beforeAll(async () => {
  harness = await startHarness();
  await harness.reset();
  instance = await harness.start();
  await publishSample(instance, (json) => Object.assign(json, { rules: RULES }));
  await publishSample(instance);
  const made = await makeSampleKey(instance);
  keyId = made.key?.keyId as string;
}, 60_000);
afterAll(() => harness.stop());

const at = (hour: number) => ({ seconds: BigInt(Date.UTC(2026, 5, 14, hour) / 1000) });
const ask = (more: object = {}) =>
  instance.explain.explain({ region: "eu", keyId, model: "any", snapshotVersion: 1n, arrivedAt: at(12), ...more });
const answers = ({ rules }: Awaited<ReturnType<typeof ask>>) => rules.map(({ rule, answer }) => [rule, answer]);

it("says of each rule whether it matches and which part of it does not, under a version of the past too", async () => {
  const explained = await ask();

  expect(explained).toMatchObject({ denied: "", outputCap: 500n, versions: { snapshotVersion: 1n } });
  expect(explained.rules).toMatchObject([
    { rule: "gold", effect: RuleEffect.ALLOW, answer: RuleAnswer.NOT_MATCHED, because: 'caller.labels.tier == "gold"' },
    { rule: "night", answer: RuleAnswer.NOT_MATCHED, because: "now.getHours() < 6" },
    { rule: "home", answer: RuleAnswer.NOT_MATCHED, because: "call.has_tools" },
    { rule: "cap", answer: RuleAnswer.MATCHED, because: "" },
    { rule: "odd", answer: RuleAnswer.FAILED, because: "1000 / call.max_output_tokens > 2" },
  ]);
  expect(explained.priorityClass).toBe(PriorityClass.UNSPECIFIED);
  expect((await ask({ snapshotVersion: 2n })).rules).toEqual([]);
});

it("mints no id of the time at which a call is said to arrive, since those that follow would be of no earlier one", async () => {
  // Others of this process may have minted ids of a later time than now.
  const mint = () => Number.parseInt(createEventId(systemClock.nowMs()).replace("-", "").slice(0, 12), 16);
  const laterMs = mint() + 86_400_000;

  await ask({ arrivedAt: timestampFromMs(laterMs) });

  expect(mint()).toBeLessThan(laterMs);
});

it("takes the facts of a described call: labels, tools, tokens, time", async () => {
  expect(await ask({ arrivedAt: at(3) })).toMatchObject({
    denied: "RULE_DENIED",
    message: "Cannot start call: At night",
  });
  expect(answers(await ask({ arrivedAt: at(3) })).slice(1)).toEqual([
    ["night", RuleAnswer.MATCHED],
    ["home", RuleAnswer.NOT_MATCHED],
    ["cap", RuleAnswer.NOT_REACHED],
    ["odd", RuleAnswer.NOT_REACHED],
  ]);

  const gold = await ask({
    arrivedAt: at(3),
    facts: { maxOutputTokens: 100n, hasTools: true, labels: [{ name: "tier", value: "gold" }] },
  });

  expect(gold).toMatchObject({ denied: "", priorityClass: PriorityClass.CRITICAL });
  expect(gold.candidates.map(({ target, result, rule }) => [target, result.case, rule])).toEqual([
    ["local/small", "score", ""],
    ["global/large", "rejected", "home"],
  ]);
});

const askAgain = (candidates: object[]) =>
  ask({
    keyId: "aaaaaaaaaaaa",
    eventId: randomUUID(),
    operation: Operation.CHAT,
    caller: {
      identity: { case: "keyId", value: "aaaaaaaaaaaa" },
      organisation: "acme",
      team: "web",
      app: "search",
      environment: "test",
    },
    candidates,
  });

it("runs the decision of a recorded call again, though its key is gone since", async () => {
  const explained = await askAgain([
    { target: "global/large", result: { case: "score", value: { priority: 1, weight: 1 } } },
    { target: "local/small", result: { case: "rejected", value: "CREDENTIAL_MISSING" } },
  ]);

  expect(explained.denied).toBe("");
  expect(explained.candidates).toMatchObject([
    { target: "global/large", result: { case: "score" } },
    { target: "local/small", result: { case: "rejected", value: "CREDENTIAL_MISSING" } },
  ]);
});

it("puts off again the targets of a recorded call that its router had put off", async () => {
  const { candidates } = await askAgain([
    { target: "global/large", result: { case: "score", value: { priority: 1, weight: 1 } } },
    { target: "local/small", result: { case: "score", value: { weight: 1, deferred: true } } },
  ]);

  expect(candidates).toMatchObject([
    { target: "global/large", result: { case: "score", value: { deferred: false } } },
    { target: "local/small", result: { case: "score", value: { deferred: true } } },
  ]);
});

it("says which version there is not", async () => {
  const refused = await ask({ snapshotVersion: 99n }).catch(fromConnectError);

  expect(refused).toMatchObject({ reason: "NOT_FOUND", facts: { version: "99" } });
});
