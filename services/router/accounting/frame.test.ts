import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { closeFrame, createFrameWriter, FRAME_LIMIT_BYTES, FrameType, openFrame, readFrame } from "./frame.ts";

const frames = fc.array(
  fc.record({
    type: fc.constantFrom(FrameType.STARTED, FrameType.ATTEMPT, FrameType.FACTS),
    payload: fc.uint8Array({ maxLength: 200 }),
  }),
  { minLength: 1, maxLength: 8 },
);

const writer = createFrameWriter();

function encodeFrame(type: FrameType, payload: Uint8Array): Buffer {
  openFrame(writer, type);
  writer.raw(payload);
  closeFrame(writer);
  return Buffer.from(writer.bytes.subarray(0, writer.at));
}

describe("frames", () => {
  it("what is cut at any byte gives back every whole entry before it, and nothing of the torn one", () => {
    fc.assert(
      fc.property(frames, fc.nat(), (entries, cut) => {
        const encoded = entries.map(({ type, payload }) => encodeFrame(type, payload));
        const all = Buffer.concat(encoded);
        const bytes = all.subarray(0, cut % (all.length + 1));
        const found: unknown[] = [];
        let at = 0;
        for (;;) {
          const verdict = readFrame(bytes, at);
          if (verdict.kind !== "frame") break;
          found.push({ type: verdict.frame.type, payload: new Uint8Array(verdict.frame.payload) });
          at += verdict.bytes;
        }
        let whole = 0;
        let end = 0;
        while (whole < encoded.length && end + encoded[whole]!.length <= bytes.length) end += encoded[whole++]!.length;
        expect(found).toEqual(entries.slice(0, whole));
      }),
    );
  });

  it("an entry with any changed bit is torn, short or its own length is wrong, and never read as another", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 64 }), fc.nat(), (payload, bit) => {
        const frame = encodeFrame(FrameType.FACTS, payload);
        const at = bit % (frame.length * 8);
        frame[at >> 3]! ^= 1 << (at & 7);
        expect(readFrame(frame, 0).kind).not.toBe("frame");
      }),
    );
  });

  it("an entry of more than a mebibyte is refused before anything is written", () => {
    expect(() => encodeFrame(FrameType.FACTS, new Uint8Array(FRAME_LIMIT_BYTES))).toThrow(RangeError);
  });
});
