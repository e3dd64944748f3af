import { clone, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { createValidator } from "@bufbuild/protovalidate";
import { describe, expect, it } from "vitest";
import { type Snapshot, SnapshotSchema } from "../../gen/weir/policy/v1/snapshot_pb.ts";
import { snapshotDigest } from "../shared/snapshot/digest.ts";
import { type OfferVerdict, SnapshotHold } from "../shared/snapshot/hold.ts";
import { SAMPLE_TRUST, sampleNote } from "../shared/snapshot/snapshots.fixture.ts";
import { compileSnapshot } from "./compilation/compile.ts";
import { samplePolicy } from "./compilation/policy.fixture.ts";

const validator = createValidator();

/** A way from the snapshot to a message in it: field and place in a list, again and again. */
type Path = readonly (readonly [field: string, index: number | undefined])[];

function follow(snapshot: Snapshot, path: Path): ReflectMessage {
  return path.reduce<ReflectMessage>(
    (message, [name, index]) => {
      const field = message.fields.find((each) => each.localName === name)!;
      const value = message.get(field);
      return (
        index === undefined ? value : (value as Iterable<unknown> & { get(at: number): unknown }).get(index)
      ) as ReflectMessage;
    },
    reflect(SnapshotSchema, snapshot),
  );
}

/** Every field that is set somewhere in a message, with the way to the message that has it. */
function* listFields(message: ReflectMessage, path: Path = []): Generator<{ path: Path; field: string }> {
  for (const field of message.fields) {
    if (!message.isSet(field)) continue;
    yield { path, field: field.localName };
    const value = message.get(field);
    if (field.fieldKind === "message")
      yield* listFields(value as ReflectMessage, [...path, [field.localName, undefined]]);
    if (field.fieldKind !== "list" || field.listKind !== "message") continue;
    let index = 0;
    for (const item of value as Iterable<ReflectMessage>)
      yield* listFields(item, [...path, [field.localName, index++]]);
  }
}

const policy = samplePolicy((json) =>
  Object.assign(json, { rules: [{ id: "big", when: "call.has_tools", deny: {} }] }),
);
const { content: wholeContent, features } = compileSnapshot(policy, { region: "eu", version: 3n, policyVersion: 3n });

/** What a router makes of a snapshot, signed as it is. */
function offer(snapshot: Snapshot): OfferVerdict {
  const content = toBinary(SnapshotSchema, snapshot);
  const note = sampleNote({ kind: "snapshot", version: 3n, digest: snapshotDigest(content), features });
  return new SnapshotHold({ trust: SAMPLE_TRUST, region: "eu" }).offerSnapshot(note, content);
}

describe("C6: a snapshot with a blank field", () => {
  const whole = fromBinary(SnapshotSchema, wholeContent);
  const fields = [...listFields(reflect(SnapshotSchema, whole))];

  it("is refused when the field is required, and crashes no router whichever it is", () => {
    expect(offer(whole).verdict).toBe("applied");
    const verdicts = { required: 0, other: 0 };
    for (const { path, field } of fields) {
      const snapshot = clone(SnapshotSchema, whole);
      const message = follow(snapshot, path);
      message.clear(message.fields.find(({ localName }) => localName === field)!);
      const verdict = offer(snapshot);
      const isRequired = validator.validate(SnapshotSchema, snapshot).kind !== "valid";
      const refused = { verdict: "refused", stage: "CONSTRAINT" };
      if (isRequired) expect(verdict, `${path.flat().join(".")}.${field}`).toMatchObject(refused);
      verdicts[isRequired ? "required" : "other"] += 1;
    }
    expect(verdicts.required).toBeGreaterThan(20);
    expect(verdicts.other).toBeGreaterThan(5);
  });
});
