import type { Operation } from "../../../gen/weir/type/v1/usage_pb.ts";
import type { RelayedRequest } from "../providers/dialect.ts";
import type { CallerFormat } from "./caller-format.ts";

/** A path over HTTP at which calls are taken: one line of the table in `surfaces.ts`, and a folder with its format. */
export interface Surface {
  /** Its name in records, such as "openai". */
  readonly name: string;
  readonly operation: Operation;
  readonly format: CallerFormat;
  /** Reads a body. Throws BODY_MALFORMED or ARGUMENT_INVALID. */
  scan(bytes: Buffer): ScannedRequest;
}

/** What a request says, as far as Weir reads it. */
export interface ScannedRequest {
  readonly request: RelayedRequest;
  /** Id of the model, as the caller wrote it. */
  readonly model: string;
  /** The most tokens of one candidate, when the caller says. */
  readonly maxOutputTokens: bigint | undefined;
  /** How many candidates are asked for, from 1. */
  readonly candidates: number;
  /** Pseudonym of the person at the end; empty when not said. */
  readonly endUser: string;
  /** The form in which this one's answer is written, where a request can choose among several. Absent for that of its surface. */
  readonly format?: CallerFormat;
}
