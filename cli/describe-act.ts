import {
  type Record as AuditRecord,
  CredentialChange,
  KeyChange,
  type KeyChangeRecord,
  KeyChangeSchema,
} from "../gen/weir/audit/v1/record_pb.ts";
import { ReleaseState, ReleaseStateSchema } from "../gen/weir/policy/v1/release_pb.ts";
import { OutcomeKindSchema } from "../gen/weir/type/v1/usage_pb.ts";

/** A line about what a record says was done. Names in it are as others chose them: escape it before a terminal gets it. */
export function describeAct({ act }: AuditRecord): string {
  switch (act.case) {
    case "call": {
      const { caller, model, outcome, reason, attempts } = act.value;
      const target = attempts.at(-1)?.target ?? "no target";
      const end = reason ? ` ${reason}` : "";
      return `${caller?.team}/${caller?.app} asked ${model}, ${OutcomeKindSchema.value[outcome]?.localName.toLowerCase()}${end} by ${target}`;
    }
    case "refusal":
      return `${act.value.caller?.team}/${act.value.caller?.app} refused ${act.value.count} times: ${act.value.reason}`;
    case "policyChange":
      return act.value.contentOf
        ? `policy version ${act.value.version} with the content of ${act.value.contentOf}`
        : `policy version ${act.value.version}`;
    case "keyChange":
      return describeKeyChange(act.value);
    case "credentialChange": {
      const { name, version, change, regions } = act.value;
      const done = change === CredentialChange.DELETED ? "deleted" : `set to version ${version}`;
      return `credential ${name} ${done} in ${regions.map(({ region }) => region).join(", ")}`;
    }
    case "releaseChange": {
      const { policyVersion, after, wave, allAtOnce, reasons } = act.value;
      const state = toWords(ReleaseStateSchema.value[after]?.localName ?? `state ${after}`);
      // Counted from 1, as `weir policy status` does.
      const where = allAtOnce ? ", all at once" : after === ReleaseState.ROLLING ? `, wave ${wave + 1}` : "";
      return `release of policy version ${policyVersion} ${state}${where}${reasons.length > 0 ? `: ${reasons.join("; ")}` : ""}`;
    }
    case undefined:
      return "unknown to this version of weir";
  }
}

function describeKeyChange({ keyId, tenant, change }: KeyChangeRecord): string {
  switch (change) {
    case KeyChange.CREATED:
      return `key ${keyId} made`;
    case KeyChange.TENANT_DISABLED:
      return `keys of ${tenant} disabled`;
    case KeyChange.TENANT_ENABLED:
      return `keys of ${tenant} enabled`;
    default:
      return `key ${keyId} ${toWords(KeyChangeSchema.value[change]?.localName ?? `change ${change}`)}`;
  }
}

/** The name of an enum's value as people say it. */
function toWords(name: string): string {
  return name.toLowerCase().replaceAll("_", " ");
}
