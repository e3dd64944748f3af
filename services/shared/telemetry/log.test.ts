import { describe, expect, it } from "vitest";
import { WeirError } from "../errors/weir-error.ts";
import { createLog } from "./log.ts";
import { scrub } from "./scrub.ts";

function capture() {
  const lines: string[] = [];
  const log = createLog({ service: "test", destination: { write: (line) => void lines.push(line) } });
  return { log, lines };
}

describe("createLog()", () => {
  it("writes one JSON line with level, time, service and message", () => {
    const { log, lines } = capture();

    log.info({ region: "eu" }, "Snapshot\napplied");

    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/\n$/);
    expect(JSON.parse(lines[0]!)).toMatchObject({
      level: "info",
      service: "test",
      region: "eu",
      msg: "Snapshot\napplied",
    });
    expect(new Date(JSON.parse(lines[0]!).time).getTime()).toBeGreaterThan(0);
  });

  it("writes of an error only what is on the list, down its causes", () => {
    const { log, lines } = capture();
    const cause = Object.assign(new Error("refused"), { code: "ECONNREFUSED", headers: { cookie: "crumbs" } });

    log.error({ err: new WeirError("UNAVAILABLE", "Cannot ask: away", { facts: { a: "b" }, cause }) }, "Failed");

    const { err } = JSON.parse(lines[0]!);
    expect(err).toMatchObject({ reason: "UNAVAILABLE", facts: { a: "b" }, cause: { code: "ECONNREFUSED" } });
    expect(lines[0]).not.toContain("crumbs");
  });

  it("ends with an error that is its own cause", () => {
    const { log, lines } = capture();
    const error = new Error("round");
    error.cause = error;

    log.error({ err: error }, "Failed");

    expect(lines).toHaveLength(1);
  });
});

describe("scrub()", () => {
  it.each([
    ["weir_prod-1_abcdefghij23_0123456789012345678901234567890123456789_-x_0a1b2c", "a virtual key"],
    ["PRIVATE+KEY+weir.local/audit+0a1b2c3d+AQxyz", "a signing key"],
    ["sk-proj-abcdefghijk", "an OpenAI key"],
    ["sk-ant-api03-abcdefgh", "an Anthropic key"],
    ["AIzaSyA1234567890123456789012", "a Google key"],
    ["AKIAIOSFODNN7EXAMPLE", "an AWS key id"],
    ["eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIx.c2ln", "a JWT"],
  ])("hides %s, %s", (secret) => {
    expect(scrub(`{"msg":"upstream said 401 for ${secret}"}`)).toBe('{"msg":"upstream said 401 for [secret]"}');
  });

  it("hides what follows Bearer and the password within a URL", () => {
    expect(scrub('"authorization":"Bearer abc"')).toBe('"authorization":"Bearer [secret]"');
    expect(scrub("postgres://policy:hunter2@127.0.0.1:5432/policy")).toBe(
      "postgres://policy:[secret]@127.0.0.1:5432/policy",
    );
  });

  it("leaves ordinary lines alone", () => {
    const line =
      '{"msg":"Snapshot 12 applied","event":"0190a5d0-0000-7000-8000-000000000000","at":"http://127.0.0.1:7400/v1"}';

    expect(scrub(line)).toBe(line);
  });
});
