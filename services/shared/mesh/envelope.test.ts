import { Code, ConnectError } from "@connectrpc/connect";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { WeirError } from "../errors/weir-error.ts";
import { EnvelopeReader, toEnvelopes } from "./envelope.ts";

const LIMIT_BYTES = 1_000;

/** Reads a body that comes in pieces; returns its message, or why there is none. */
function read(body: Buffer, cuts: readonly number[] = []): Buffer | string {
  const reader = new EnvelopeReader(LIMIT_BYTES, "unary", (message) => message);
  try {
    let from = 0;
    for (const cut of [...cuts].sort((a, b) => a - b)) {
      reader.push(body.subarray(from, cut));
      from = cut;
    }
    reader.push(body.subarray(from));
    return reader.end();
  } catch (error) {
    if (error instanceof WeirError) return error.reason;
    if (error instanceof ConnectError) return Code[error.code];
    throw error;
  }
}

const message = fc.uint8Array({ maxLength: 300 });
const cutsOf = (length: number) => fc.array(fc.nat(length), { maxLength: 8 });

describe("EnvelopeReader", () => {
  it("hands out the message in whatever pieces it comes", () => {
    fc.assert(
      fc.property(
        message.chain((bytes) => fc.tuple(fc.constant(bytes), cutsOf(bytes.length + 5))),
        ([bytes, cuts]) => {
          expect(read(toEnvelopes([bytes]), cuts)).toEqual(Buffer.from(bytes));
        },
      ),
    );
  });

  it("refuses what ends too early, wherever it is cut, but for nothing at all", () => {
    fc.assert(
      fc.property(message, fc.nat(), cutsOf(5), (bytes, at, cuts) => {
        const whole = toEnvelopes([bytes]);
        const body = whole.subarray(0, at % whole.length);
        const said = read(
          body,
          cuts.filter((cut) => cut <= body.length),
        );
        expect(said).toBe(body.length === 0 ? "Unimplemented" : "BODY_MALFORMED");
      }),
    );
  });

  it("refuses a second message, and looks at the first before", () => {
    fc.assert(
      fc.property(message, message, (one, two) => {
        expect(read(toEnvelopes([one, two]))).toBe("Unimplemented");
      }),
    );
    const reader = new EnvelopeReader(LIMIT_BYTES, "unary", () => {
      throw new Error("not a message");
    });
    expect(() => reader.push(toEnvelopes([Buffer.from("a"), Buffer.from("b")]))).toThrow("not a message");
  });

  it("refuses a length over the limit when it is said, and takes one at the limit", () => {
    const prefix = Buffer.from([0, 0, 0, 0x03, 0xe9]);

    expect(read(prefix)).toBe("BODY_TOO_LARGE");
    expect(read(toEnvelopes([Buffer.alloc(LIMIT_BYTES)]))).toHaveLength(LIMIT_BYTES);
  });

  it("refuses a message that is marked as compressed", () => {
    const body = toEnvelopes([Buffer.from("a")]);
    body.writeUInt8(1, 0);

    expect(read(body)).toBe("BODY_MALFORMED");
  });

  it("never fails otherwise, whatever comes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), cutsOf(60), (bytes, cuts) => {
        const body = Buffer.from(bytes);
        const said = read(
          body,
          cuts.filter((cut) => cut <= body.length),
        );
        expect(Buffer.isBuffer(said) || ["BODY_MALFORMED", "BODY_TOO_LARGE", "Unimplemented"].includes(said)).toBe(
          true,
        );
      }),
    );
  });
});
