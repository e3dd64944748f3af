import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, expectTypeOf, it, vi } from "vitest";
import type { WeirError } from "./errors/weir-error.ts";
import { commonSettings, describeSettings, readSettings } from "./settings.ts";
import type { Log } from "./telemetry/log.ts";

function problemOf(read: () => unknown): string {
  try {
    read();
  } catch (error) {
    expect((error as WeirError).reason).toBe("SETTING_INVALID");
    return (error as WeirError).message;
  }
  throw new Error("Cannot find a problem: the settings were read");
}

describe("readSettings()", () => {
  it("reads each kind in its unit", () => {
    const settings = readSettings(
      {
        WEIR_A: "text",
        WEIR_B: "17",
        WEIR_C: "2m",
        WEIR_D: "32MiB",
        WEIR_E: "true",
        WEIR_F: "[::1]:7400",
        WEIR_G: "./x",
        WEIR_H: "eu, us,",
        WEIR_I: "nats://user:pass@host:4222",
        WEIR_J: "hush",
      },
      {
        WEIR_A: { kind: "string", meaning: "." },
        WEIR_B: { kind: "integer", min: 1, max: 20, meaning: "." },
        WEIR_C: { kind: "duration", meaning: "." },
        WEIR_D: { kind: "bytes", meaning: "." },
        WEIR_E: { kind: "boolean", meaning: "." },
        WEIR_F: { kind: "address", meaning: "." },
        WEIR_G: { kind: "path", meaning: "." },
        WEIR_H: { kind: "list", meaning: "." },
        WEIR_I: { kind: "url", meaning: "." },
        WEIR_J: { kind: "secret", meaning: "." },
      },
    );

    expect(settings).toEqual({
      WEIR_A: "text",
      WEIR_B: 17,
      WEIR_C: 120_000,
      WEIR_D: 33_554_432,
      WEIR_E: true,
      WEIR_F: { host: "::1", port: 7400 },
      WEIR_G: "./x",
      WEIR_H: ["eu", "us"],
      WEIR_I: "nats://user:pass@host:4222",
      WEIR_J: "hush",
    });
  });

  it("takes defaults for what is absent or empty", () => {
    const settings = readSettings(
      { WEIR_A: "" },
      {
        WEIR_A: { kind: "address", default: "127.0.0.1:0", meaning: "." },
        WEIR_B: { kind: "integer", default: 3, meaning: "." },
        WEIR_C: { kind: "path", optional: true, meaning: "." },
      },
    );

    expect(settings).toEqual({ WEIR_A: { host: "127.0.0.1", port: 0 }, WEIR_B: 3, WEIR_C: undefined });
    expectTypeOf(settings.WEIR_C).toEqualTypeOf<string | undefined>();
    expectTypeOf(settings.WEIR_B).toEqualTypeOf<number>();
  });

  it("names everything wrong at once, unknown names too", () => {
    const message = problemOf(() =>
      readSettings(
        { WEIR_A: "30", WEIR_B: "yes", WEIR_TYPO: "1", HOME: "/root" },
        {
          WEIR_A: { kind: "duration", meaning: "." },
          WEIR_B: { kind: "boolean", meaning: "." },
          WEIR_C: { kind: "string", meaning: "." },
        },
      ),
    );

    expect(message).toBe(
      'Cannot read settings: WEIR_A is "30", should be a duration such as 250ms, 30s, 5m; ' +
        'WEIR_B is "yes", should be true or false; WEIR_C must be set; WEIR_TYPO is not a setting of this service',
    );
  });

  it.each(["7400", "host", "host:", "host:99999", "::1:7400", "http://host:1", "[::1]"])(
    "refuses address %j",
    (text) => {
      const message = problemOf(() => readSettings({ WEIR_A: text }, { WEIR_A: { kind: "address", meaning: "." } }));

      expect(message).toContain("should be host:port");
    },
  );

  it("refuses a number beyond its range", () => {
    const declarations = { WEIR_A: { kind: "integer", min: 1, max: 9, meaning: "." } } as const;

    expect(problemOf(() => readSettings({ WEIR_A: "10" }, declarations))).toContain("is 10, should be from 1 to 9");
  });

  it("repeats no secret and no URL in its errors", () => {
    const message = problemOf(() =>
      readSettings(
        { WEIR_A: "user:hunter2", WEIR_B: "hunter2", WEIR_B_FILE: "/hunter2" },
        { WEIR_A: { kind: "url", meaning: "." }, WEIR_B: { kind: "secret", meaning: "." } },
      ),
    );

    expect(message).not.toContain("hunter2");
  });

  it("reads a secret from a file, without the newline at its end", () => {
    const folder = mkdtempSync(join(tmpdir(), "weir-settings-"));
    writeFileSync(join(folder, "secret"), "hush\n");

    const settings = readSettings(
      { WEIR_A_FILE: join(folder, "secret") },
      { WEIR_A: { kind: "secret", meaning: "." } },
    );
    rmSync(folder, { recursive: true });

    expect(settings.WEIR_A).toBe("hush");
  });

  it("passes over service links of Kubernetes with one log line", () => {
    const info = vi.fn();
    const environment = {
      WEIR_POLICY_SERVICE_HOST: "10.0.0.1",
      WEIR_POLICY_SERVICE_PORT: "7400",
      WEIR_POLICY_SERVICE_PORT_GRPC: "7400",
      WEIR_POLICY_PORT: "tcp://10.0.0.1:7400",
      WEIR_POLICY_PORT_7400_TCP_ADDR: "10.0.0.1",
      WEIR_POLICY_PORT_7400_TCP: "tcp://10.0.0.1:7400",
    };

    readSettings(environment, {}, { log: { info } as unknown as Log });

    expect(info).toHaveBeenCalledOnce();
  });
});

describe("describeSettings()", () => {
  it("makes one row of each setting", () => {
    const table = describeSettings({ ...commonSettings, WEIR_TOKEN: { kind: "secret", meaning: "Hush." } });

    expect(table).toContain(
      "| `WEIR_DRAIN_TIMEOUT` | duration | `10s` | How long work in flight may go on after SIGTERM. |",
    );
    expect(table).toContain("| `WEIR_TOKEN` or `WEIR_TOKEN_FILE` | secret | must be set | Hush. |");
  });
});
