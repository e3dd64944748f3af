/** What a condition may ask about who calls: from the key, never from what a caller says of itself. */
export interface CallerFacts {
  readonly organisation: string;
  readonly team: string;
  readonly app: string;
  readonly environment: string;
  readonly keyId: string;
  /** Labels of the key and of its tenants. */
  readonly labels: Readonly<Record<string, string>>;
}

/** All that a condition may ask about. Fields change from call to call: one object serves them all. */
export interface Facts {
  /** Id of the region that serves. */
  region: string;
  caller: CallerFacts;
  /** Id of the model that is asked for. */
  model: string;
  /** "chat", "embedding" or "tool_call". */
  operation: string;
  streamed: boolean;
  /** The most tokens of one candidate that the caller asks for; 0 when it does not say. */
  maxOutputTokens: number;
  /** Bytes of the request's body. */
  inputBytes: number;
  /** Whether the request offers the model a tool. */
  hasTools: boolean;
  /** When the call arrived, milliseconds since 1970. */
  nowMs: number;
}

/**
 * What must be known before a fact can be asked for: each stage knows what those before it know. Tools are the last: a request must be read
 * for them more closely than for all else.
 */
export const Stage = { SNAPSHOT: 0, GRANT: 1, MODEL: 2, CALL: 3, TOOLS: 4 } as const;
export type Stage = (typeof Stage)[keyof typeof Stage];

/** The types of what a condition computes with. */
export type Type = "bool" | "int" | "string" | "timestamp" | "labels" | "list of string" | "list of int";

/** One thing that a condition may ask about. */
export interface Fact {
  readonly type: Type;
  readonly stage: Stage;
  readonly read: (facts: Facts) => FactValue;
}

export type FactValue = string | number | boolean | Readonly<Record<string, string>>;

/**
 * The closed set of what conditions may ask about, by name. A new one is a line here, a line in the table of
 * services/policy/README.md, and a field of the record of a call, so that its decision can be run again.
 */
export const FACTS: ReadonlyMap<string, Fact> = new Map<string, Fact>([
  ["region", { type: "string", stage: Stage.SNAPSHOT, read: (facts) => facts.region }],
  ["caller.organisation", { type: "string", stage: Stage.GRANT, read: ({ caller }) => caller.organisation }],
  ["caller.team", { type: "string", stage: Stage.GRANT, read: ({ caller }) => caller.team }],
  ["caller.app", { type: "string", stage: Stage.GRANT, read: ({ caller }) => caller.app }],
  ["caller.environment", { type: "string", stage: Stage.GRANT, read: ({ caller }) => caller.environment }],
  ["caller.key_id", { type: "string", stage: Stage.GRANT, read: ({ caller }) => caller.keyId }],
  ["caller.agent", { type: "string", stage: Stage.GRANT, read: ({ caller }) => readLabel(caller.labels, "agent") }],
  ["caller.labels", { type: "labels", stage: Stage.GRANT, read: ({ caller }) => caller.labels }],
  ["call.model", { type: "string", stage: Stage.MODEL, read: ({ model }) => model }],
  ["call.operation", { type: "string", stage: Stage.CALL, read: ({ operation }) => operation }],
  ["call.streamed", { type: "bool", stage: Stage.CALL, read: ({ streamed }) => streamed }],
  ["call.max_output_tokens", { type: "int", stage: Stage.CALL, read: ({ maxOutputTokens }) => maxOutputTokens }],
  ["call.input_bytes", { type: "int", stage: Stage.CALL, read: ({ inputBytes }) => inputBytes }],
  ["call.has_tools", { type: "bool", stage: Stage.TOOLS, read: ({ hasTools }) => hasTools }],
  ["now", { type: "timestamp", stage: Stage.CALL, read: ({ nowMs }) => nowMs }],
]);

/**
 * A label, empty when there is none. In CEL a missing key is an error, and a rule whose condition fails counts as matched: to deny what has
 * a certain label would deny all that have no labels.
 */
export function readLabel(labels: Readonly<Record<string, string>>, name: string): string {
  return Object.hasOwn(labels, name) ? (labels[name] as string) : "";
}
