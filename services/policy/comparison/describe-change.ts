import { ChangeKind, type PolicyChange } from "../../../gen/weir/policy/v1/policy_service_pb.ts";

/** Most models named in one sentence. */
const NAMED_LIMIT = 10;

/** A change in words, such as `target "openai-eu/small": input price 0.25 → 0.30 dollars per million tokens, used by model "a" in eu`. */
export function describeChange(change: PolicyChange): string {
  const { kind, attribute, before, after } = change;
  const subject = nameThing(change.thing, change.id);
  const regions = change.regions.join(", ");
  switch (kind) {
    case ChangeKind.ADDED:
      return `${subject} is new${after === "" ? "" : `: ${after}`}${holdsFor(change.keys)}`;
    case ChangeKind.REMOVED:
      return `${subject} goes${before === "" ? "" : `: ${before}`}${heldFor(change.keys)}`;
    case ChangeKind.CHANGED: {
      const what = [subject, attribute].filter((part) => part !== "").join(": ");
      const turn = `${before || "not set"} → ${after || "not set"}`;
      return `${what}${attribute === "" ? ":" : ""} ${turn}${holdsFor(change.keys)}`;
    }
    case ChangeKind.REORDERED:
      return `${change.thing}s stand in another order: ${before} → ${after}`;
    case ChangeKind.PRICE_CHANGED: {
      const use =
        change.models.length === 0 ? "used by no model" : `used by ${nameModels(change.models)} in ${regions}`;
      const turn = `${before || "not set"} → ${after || "not set"}`;
      return `${subject}: ${attribute.replaceAll("_", " ")} price ${turn} dollars per million tokens, ${use}`;
    }
    case ChangeKind.RESIDENCY_WIDENED: {
      const effect = change.models.length === 0 ? "no model gains a target there" : gains(change.models);
      return `${subject} may now serve ${regions}: ${effect}`;
    }
    case ChangeKind.RESIDENCY_NARROWED: {
      const effect =
        change.models.length === 0
          ? "no model loses its last target there"
          : `${nameModels(change.models)} ${change.models.length === 1 ? "has" : "have"} no target there any more`;
      return `${subject} may no longer serve ${regions}: ${effect}`;
    }
    case ChangeKind.MODEL_OFFERED:
      return `${subject} can be asked for in ${regions}`;
    case ChangeKind.MODEL_WITHDRAWN:
      return `${subject} can't be asked for in ${regions} any more`;
    case ChangeKind.ROUTE_OPENED:
      return `${subject} in ${regions}: target "${attribute}" may serve it, ${after}`;
    case ChangeKind.ROUTE_CLOSED:
      return `${subject} in ${regions}: target "${attribute}" no longer serves it, which was ${before}`;
    case ChangeKind.ROUTE_CHANGED:
      return `${subject} in ${regions}: target "${attribute}" ${before} → ${after}`;
    case ChangeKind.TENANT_GAINS:
      return `${subject}: gains ${nameModels(change.models)} in ${regions} (${countKeys(change.keys)})`;
    case ChangeKind.TENANT_LOSES:
      return `${subject}: loses ${nameModels(change.models)} in ${regions} (${countKeys(change.keys)})`;
    case ChangeKind.KEYS_LEFT: {
      const left = change.keys === 1n ? "its 1 key is" : `its ${change.keys} keys are`;
      return `${subject} goes, yet ${left} honoured until revoked`;
    }
    default:
      return "";
  }
}

/** A thing by its kind and id; a tenant from the smallest part to the largest. */
function nameThing(thing: string, id: string): string {
  const [organisation, team, app, environment] = id.split("/");
  switch (thing) {
    case "policy":
      return "";
    case "team":
      return `team "${team}" (${organisation})`;
    case "app":
      return `app "${app}" of team "${team}" (${organisation})`;
    case "environment":
      return `environment "${environment}" of app "${app}" of team "${team}" (${organisation})`;
    default:
      return `${thing} "${id}"`;
  }
}

function nameModels(models: readonly string[]): string {
  const named = models.slice(0, NAMED_LIMIT).map((id) => `"${id}"`);
  const rest = models.length - named.length;
  return `model${models.length === 1 ? "" : "s"} ${named.join(", ")}${rest === 0 ? "" : ` and ${rest} more`}`;
}

function gains(models: readonly string[]): string {
  return `${nameModels(models)} ${models.length === 1 ? "gains" : "gain"} a target there`;
}

function countKeys(keys: bigint): string {
  return keys === 1n ? "1 key" : `${keys} keys`;
}

function holdsFor(keys: bigint): string {
  return keys === 0n ? "" : ` (${countKeys(keys)} now)`;
}

function heldFor(keys: bigint): string {
  return keys === 0n ? "" : ` (held for ${countKeys(keys)})`;
}
