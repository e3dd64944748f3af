import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { KeyGrant } from "../../../gen/weir/policy/v1/snapshot_pb.ts";

/** What a key is looked for by, taken from its grant. */
export function indexGrant({ keyId, team, app, environment, labels, expiresAt, disabledAt }: KeyGrant) {
  return {
    keyId,
    team,
    app,
    environment,
    labels,
    expiresAt: expiresAt && timestampDate(expiresAt),
    disabledAt: disabledAt && timestampDate(disabledAt),
  };
}
