import { type DescField, type DescMessage, toJson } from "@bufbuild/protobuf";
import { type ReflectList, type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { type Policy, PolicySchema } from "../../../gen/weir/policy/v1/policy_pb.ts";
import { ChangeKind, type PolicyChange } from "../../../gen/weir/policy/v1/policy_service_pb.ts";
import { type ChangeFacts, createChange } from "./change.ts";

/** What changes are told of elsewhere, with what they do: by message and field. */
const TOLD_ELSEWHERE = new Set(["Policy.limits", "Policy.rules", "Provider.regions", "Target.prices", "Model.routes"]);

/**
 * What a document says otherwise, thing by thing and field by field, whatever fields there are: things of a list are the same when their ids
 * are, wherever they stand.
 */
export function compareFields(before: Policy, after: Policy): PolicyChange[] {
  const comparison = new FieldComparison();
  comparison.compareMessages(reflect(PolicySchema, before), reflect(PolicySchema, after), {
    thing: "policy",
    id: "",
    attribute: "",
    field: "",
  });
  return comparison.changes;
}

/** Where a comparison is. */
interface Spot {
  readonly thing: string;
  readonly id: string;
  /** Path within the thing. */
  readonly attribute: string;
  /** Path within the policy. */
  readonly field: string;
}

class FieldComparison {
  readonly changes: PolicyChange[] = [];

  compareMessages(before: ReflectMessage | undefined, after: ReflectMessage | undefined, spot: Spot): void {
    const desc = (after ?? before)?.desc;
    for (const field of desc?.fields ?? []) {
      const name = `${desc?.name}.${field.name}`;
      if (TOLD_ELSEWHERE.has(name)) continue;
      const at = { ...spot, attribute: join(spot.attribute, field.name), field: join(spot.field, field.name) };
      if (isThings(field)) this.#compareThings(getList(before, field), getList(after, field), at);
      else if (name === "App.environments") this.#compareEnvironments(before, after, field, at);
      else if (isPlainMessage(field)) {
        const [old, now] = [getMessage(before, field), getMessage(after, field)];
        // That an empty message is there can be all that it says, as a member of a oneof does.
        if (old === undefined && now !== undefined && isEmpty(now)) this.#compareValues("", "{}", at);
        else if (now === undefined && old !== undefined && isEmpty(old)) this.#compareValues("{}", "", at);
        else this.compareMessages(old, now, at);
      } else this.#compareValues(toText(before, field), toText(after, field), at);
    }
  }

  #compareThings(before: readonly ReflectMessage[], after: readonly ReflectMessage[], spot: Spot): void {
    const thing = toWords((before[0] ?? after[0])?.desc.name ?? "");
    const old = new Map(before.map((item, index) => [readId(item), { item, index }]));
    const ids = new Set(after.map(readId));
    for (const [id, { index }] of old) {
      if (ids.has(id)) continue;
      const at = { thing, id: nest(spot, id), field: `${spot.field}[${index}]` };
      this.#add(ChangeKind.REMOVED, at);
    }
    after.forEach((item, index) => {
      const at = { thing, id: nest(spot, readId(item)), attribute: "", field: `${spot.field}[${index}]` };
      const other = old.get(readId(item))?.item;
      if (other === undefined) this.#add(ChangeKind.ADDED, at);
      else this.compareMessages(other, item, at);
    });
  }

  // An environment is a tenant, though it is only a name.
  #compareEnvironments(
    before: ReflectMessage | undefined,
    after: ReflectMessage | undefined,
    field: DescField,
    spot: Spot,
  ): void {
    const [old, now] = [readStrings(before, field), readStrings(after, field)];
    const tell = (kind: ChangeKind, names: readonly string[], others: readonly string[]): void => {
      names.forEach((name, index) => {
        if (others.includes(name)) return;
        this.#add(kind, { thing: "environment", id: `${spot.id}/${name}`, field: `${spot.field}[${index}]` });
      });
    };
    tell(ChangeKind.REMOVED, old, now);
    tell(ChangeKind.ADDED, now, old);
  }

  #compareValues(before: string, after: string, { thing, id, attribute, field }: Spot): void {
    if (before !== after) this.#add(ChangeKind.CHANGED, { thing, id, attribute, field, before, after });
  }

  #add(kind: ChangeKind, facts: ChangeFacts): void {
    const { attribute: _, ...whole } = facts;
    this.changes.push(createChange(kind === ChangeKind.CHANGED ? { kind, ...facts } : { kind, ...whole }));
  }
}

/** Whether a field is a list of things that have an id. */
function isThings(field: DescField): boolean {
  return field.fieldKind === "list" && field.listKind === "message" && hasId(field.message);
}

function hasId(desc: DescMessage): boolean {
  return desc.fields.some(({ name, fieldKind }) => name === "id" && fieldKind === "scalar");
}

/** Whether a field is one message of ours, which is compared field by field. */
function isPlainMessage(field: DescField): boolean {
  return field.fieldKind === "message" && !field.message.typeName.startsWith("google.protobuf.");
}

function isEmpty(message: ReflectMessage): boolean {
  return message.fields.every((field) => !message.isSet(field));
}

function getMessage(message: ReflectMessage | undefined, field: DescField): ReflectMessage | undefined {
  return message?.isSet(field) ? (message.get(field) as ReflectMessage) : undefined;
}

function getList(message: ReflectMessage | undefined, field: DescField): ReflectMessage[] {
  return message === undefined ? [] : [...(message.get(field) as ReflectList<ReflectMessage>)];
}

function readStrings(message: ReflectMessage | undefined, field: DescField): string[] {
  return message === undefined ? [] : [...(message.get(field) as ReflectList<string>)];
}

function readId(message: ReflectMessage): string {
  return (message.message as unknown as { readonly id: string }).id;
}

/** A team's id is its organisation's and its own, and so on. */
function nest({ thing, id }: Spot, own: string): string {
  return thing === "policy" ? own : `${id}/${own}`;
}

/** A value as proto JSON has it, without the quotes of text. Empty when it is not set. */
function toText(message: ReflectMessage | undefined, field: DescField): string {
  if (message === undefined || !message.isSet(field)) return "";
  if (field.fieldKind === "scalar") return String(message.get(field));
  const json = toJson(message.desc, message.message) as Record<string, unknown>;
  const value = json[field.jsonName];
  if (Array.isArray(value) && value.every((item) => typeof item === "string")) return value.join(", ");
  return typeof value === "string" ? value : JSON.stringify(value);
}

function join(path: string, name: string): string {
  return path === "" ? name : `${path}.${name}`;
}

function toWords(name: string): string {
  return name.replaceAll(/\B[A-Z]/g, " $&").toLowerCase();
}
