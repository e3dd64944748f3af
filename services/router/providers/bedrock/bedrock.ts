import { Dialect as DialectId } from "../../../../gen/weir/policy/v1/policy_pb.ts";
import type { Dialect } from "../dialect.ts";
import { converse } from "./converse.ts";
import { readCredential } from "./credential.ts";
import { sign } from "./sign.ts";

/** Amazon Bedrock (https://docs.aws.amazon.com/bedrock/latest/APIReference/welcome.html). Callers don't write its format. */
export const bedrock: Dialect = {
  id: DialectId.BEDROCK,
  composeCredential: (secret) => {
    const credential = readCredential(secret);
    return credential.kind === "api-key" ? ["authorization", `Bearer ${credential.token}`] : [];
  },
  sign,
  typed: converse,
  relayed: [],
};
