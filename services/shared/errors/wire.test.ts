import { Code, ConnectError } from "@connectrpc/connect";
import { setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import { describe, expect, it } from "vitest";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { REASONS } from "./reason.ts";
import { WeirError } from "./weir-error.ts";
import { fromConnectError, toConnectError } from "./wire.ts";

describe("toConnectError()", () => {
  it("sends code, reason and facts, and never the cause", () => {
    const error = new WeirError("RATE_LIMITED", "Cannot start chat: 10 of 10 requests are used", {
      facts: { limit: "10" },
      retryAfterMs: 1500,
      cause: new Error("secret"),
    });

    const sent = toConnectError(error);

    expect(sent.code).toBe(Code.ResourceExhausted);
    expect(sent.rawMessage).toBe(error.message);
    expect(sent.findDetails(ErrorInfoSchema)).toMatchObject([
      { reason: "RATE_LIMITED", domain: "weir", metadata: { limit: "10" } },
    ]);
    expect(sent.findDetails(RetryInfoSchema)[0]?.retryDelay).toMatchObject({ seconds: 1n, nanos: 500_000_000 });
    expect(sent.message).not.toContain("secret");
  });

  it("hides what an unknown error says", () => {
    const sent = toConnectError(new Error("password=hunter2 at 10.0.0.1"));

    expect(sent.code).toBe(Code.Internal);
    expect(sent.message).not.toContain("hunter2");
    expect(sent.findDetails(ErrorInfoSchema)[0]?.reason).toBe("INTERNAL");
  });

  it("hides what the RPC library made of an exception", () => {
    const sent = toConnectError(new ConnectError("password=hunter2", Code.Internal));

    expect(sent.message).not.toContain("hunter2");
  });

  it("keeps the message of the RPC library's own refusal and names its reason", () => {
    const sent = toConnectError(new ConnectError("cannot parse", Code.InvalidArgument));

    expect(sent.rawMessage).toBe("cannot parse");
    expect(sent.findDetails(ErrorInfoSchema)[0]?.reason).toBe("ARGUMENT_INVALID");
  });

  it.each(["x", "水", "🌊"])(
    "cuts texts of any length so that trailers hold them, also when they are all %s",
    (character) => {
      const text = character.repeat(100_000);
      const facts = { field: text, path: text, model: text };
      const violations = Array.from({ length: 50 }, () => ({ field: text, description: text }));

      const sent = toConnectError(new WeirError("ARGUMENT_INVALID", text, { facts, violations }));

      const trailers = setTrailerStatus(new Headers(), sent);
      const sizeBytes = [...trailers].reduce((sum, [name, value]) => sum + name.length + value.length, 0);
      expect(sizeBytes).toBeLessThan(60_000);
      expect(sent.findDetails(BadRequestSchema)[0]?.fieldViolations).toHaveLength(1);
      expect(sent.rawMessage.endsWith("…")).toBe(true);
    },
  );

  it("names the first fifty fields at fault", () => {
    const violations = Array.from({ length: 60 }, (_, index) => ({ field: `${index}`, description: "" }));

    const sent = toConnectError(
      new WeirError("ARGUMENT_INVALID", "Cannot read request: fields are wrong", { violations }),
    );

    expect(sent.findDetails(BadRequestSchema)[0]?.fieldViolations).toMatchObject(violations.slice(0, 50));
  });

  it("sends half of a character as one that stands for what can't be read", () => {
    const sent = toConnectError(
      new WeirError("ARGUMENT_INVALID", 'Cannot read "\ud800"', { facts: { field: "\udc00" } }),
    );

    expect(setTrailerStatus(new Headers(), sent).get("grpc-message")).toBe(encodeURIComponent('Cannot read "\ufffd"'));
  });

  it("sends the fields at fault as BadRequest", () => {
    const violations = [{ field: "limits.rpm", description: "must be positive" }];

    const sent = toConnectError(new WeirError("ARGUMENT_INVALID", "Cannot publish: 1 field is wrong", { violations }));

    expect(sent.findDetails(BadRequestSchema)[0]?.fieldViolations).toMatchObject(violations);
  });
});

describe("fromConnectError()", () => {
  it.each(Object.keys(REASONS) as (keyof typeof REASONS)[])("gives back %s as it was sent", (reason) => {
    const violations = [{ field: "a.b", description: "c" }];
    const sent = new WeirError(reason, "Cannot do: state", { facts: { a: "b" }, retryAfterMs: 20, violations });

    const received = fromConnectError(toConnectError(sent));

    expect(received).toMatchObject({ reason, message: sent.message, facts: { a: "b" }, retryAfterMs: 20, violations });
  });

  it("takes a foreign server's code for what it stands for", () => {
    expect(fromConnectError(new ConnectError("no", Code.Unavailable)).reason).toBe("UNAVAILABLE");
  });

  it("takes an unknown reason of ours, from a newer service, by its code", () => {
    const error = new ConnectError("no", Code.NotFound, undefined, [
      { desc: ErrorInfoSchema, value: { reason: "FROM_THE_FUTURE", domain: "weir", metadata: {} } },
    ]);

    expect(fromConnectError(error).reason).toBe("NOT_FOUND");
  });

  it("takes a platform timeout for a deadline", () => {
    expect(fromConnectError(new DOMException("late", "TimeoutError")).reason).toBe("DEADLINE_EXCEEDED");
  });
});
