import { describe, expect, it } from "vitest";
import { checkListen, isLoopback, readTls } from "./tls.ts";

const tls = { certificate: Buffer.from("c"), key: Buffer.from("k") };
const NOTHING = { WEIR_TLS_CERTIFICATE: undefined, WEIR_TLS_KEY: undefined, WEIR_TLS_CLIENT_CA: undefined };

describe("checkListen()", () => {
  it.each(["127.0.0.1", "127.8.9.1", "::1", "localhost"])("lets plain text be spoken on %s", (host) => {
    expect(() => checkListen({ host, port: 1 }, undefined, "certified")).not.toThrow();
  });

  it.each(["0.0.0.0", "::", "10.0.0.1", "127.0.0.1.example.com", "localhost.example.com", "::ffff:127.0.0.1"])(
    "refuses plain text on %s",
    (host) => {
      expect(() => checkListen({ host, port: 1 }, undefined, "anyone")).toThrow("beyond loopback TLS is needed");
    },
  );

  it("asks for authorities where callers must be certified", () => {
    const everywhere = { host: "0.0.0.0", port: 1 };

    expect(() => checkListen(everywhere, tls, "certified")).toThrow("WEIR_TLS_CLIENT_CA");
    expect(() => checkListen(everywhere, tls, "anyone")).not.toThrow();
    expect(() => checkListen(everywhere, { ...tls, authorities: Buffer.from("a") }, "certified")).not.toThrow();
  });
});

describe("readTls()", () => {
  it("reads nothing when nothing is set, and refuses half a set", () => {
    expect(readTls(NOTHING)).toBeUndefined();
    expect(() => readTls({ ...NOTHING, WEIR_TLS_KEY: "/x" })).toThrow("must be set together");
  });

  it("names the setting whose file cannot be read", () => {
    const settings = { ...NOTHING, WEIR_TLS_CERTIFICATE: "/does/not/exist", WEIR_TLS_KEY: "/does/not/exist" };

    expect(() => readTls(settings)).toThrow("the file of WEIR_TLS_CERTIFICATE cannot be read: ENOENT");
  });
});

it("isLoopback() takes no name but localhost", () => {
  expect(isLoopback("loopback")).toBe(false);
});
