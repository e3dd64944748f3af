import { looksWhole, type Seen } from "../callers/caller.ts";
import { HONEST_TOKENS, SIGNATURE, TEXT_PIECES } from "../provider/answer.ts";
import type { Cell, CellResult } from "./cell.ts";

/** Types of errors that an Anthropic client knows (https://docs.claude.com/en/api/errors). */
const ANTHROPIC_TYPES = [
  "invalid_request_error",
  "authentication_error",
  "billing_error",
  "permission_error",
  "not_found_error",
  "request_too_large",
  "rate_limit_error",
  "api_error",
  "timeout_error",
  "overloaded_error",
];

const [INPUT, OUTPUT] = [HONEST_TOKENS.input + HONEST_TOKENS.cached, HONEST_TOKENS.output];

/**
 * Everything in which a cell is not as it must be, in words; empty when it is. A gateway whose books nobody sees is another one: it is
 * held to what hurts its callers (an end that looks whole, an error unseen, another text, no fallback), not to Weir's own choices of
 * status and headers.
 */
export function judge(cell: Cell, result: CellResult): string[] {
  const wrong: string[] = [];
  const expect = (isRight: boolean, what: string) => {
    if (!isRight) wrong.push(what);
  };
  const { seen, ledger, spare } = result;
  const { dialect } = cell;
  const isOwn = ledger !== undefined;
  switch (cell.due) {
    case "whole":
      expect(looksWhole(seen), `no whole answer: ${describeSeen(seen)}`);
      if (looksWhole(seen)) judgeAnswer(cell, seen, expect);
      expect(ledger?.outcome === undefined || ledger.outcome === "ANSWERED", `ledger says ${ledger?.outcome}`);
      break;
    case "error":
    case "refusal":
      // Who asked for no compression and understands it all the same has a whole answer.
      if (!isOwn && cell.fault.command.fault === "gzip" && looksWhole(seen) && isText(cell, seen)) break;
      judgeError(cell, seen, isOwn, expect);
      expect(ledger === undefined || ledger.outcome === "FAILED", `ledger says ${ledger?.outcome}`);
      if (cell.due === "error" && spare !== undefined) {
        expect(looksWhole(spare.seen) && isText(cell, spare.seen), `fallback seen: ${describeSeen(spare.seen)}`);
        expect(spare.ledger === undefined || spare.ledger.attempts === 2, "fallback is not in the ledger");
      }
      if (isOwn && cell.due === "refusal" && spare !== undefined) {
        expect(spare.seen.error !== undefined, "another target was asked after the caller's own mistake");
      }
      break;
    case "whole or cut":
      // Some servers leave the mark out. Where the reason to stop came before it, the answer can be known to be whole.
      if (looksWhole(seen) && dialect.name !== "gemini") {
        judgeAnswer(cell, seen, expect);
        break;
      }
      judgeCut(cell, result, expect);
      break;
    case "cut":
      judgeCut(cell, result, expect);
      break;
    case "inexpressible":
      expect(seen.status === 400 && seen.error !== undefined, `no refusal: ${describeSeen(seen)}`);
      expect(seen.headers["x-weir-reason"] === "ARGUMENT_INVALID", `reason ${seen.headers["x-weir-reason"]}`);
      expect(ledger === undefined || (ledger.outcome === "FAILED" && ledger.input + ledger.output === 0), "is billed");
      break;
    case "own":
      expect(looksWhole(seen) && Number(seen.text) > 0, `no whole answer: ${describeSeen(seen)}`);
      expect(
        ledger === undefined || (ledger.outcome === "ANSWERED" && ledger.input + ledger.output === 0),
        "is billed",
      );
  }
  for (const row of [ledger, spare?.ledger]) {
    if (row === undefined) continue;
    expect(row.usages === 1 && row.records === 1, `${row.usages} usages and ${row.records} records`);
    const hasContent = row.outcome === "ANSWERED" || row.outcome === "CUT";
    const [costsInput, costsOutput] = COSTS[cell.caller] ?? [true, true];
    const isBilled = row.input > 0 === costsInput && row.output > 0 === costsOutput;
    expect(!hasContent || isBilled, `${row.input} + ${row.output} tokens after content`);
    expect(!hasContent || !costsInput || row.source !== "", "no source of the tokens");
  }
  if (ledger !== undefined && cell.due === "whole") judgeBill(cell, ledger, expect);
  return wrong;
}

/** Whether what is read and what is answered costs tokens, where not both do. */
const COSTS: Partial<Readonly<Record<Cell["caller"], readonly [input: boolean, output: boolean]>>> = {
  embeddings: [true, false],
  "count-tokens": [false, false],
};

function judgeCut(cell: Cell, { seen, ledger }: CellResult, expect: Expect): void {
  expect(seen.status === 200, `status ${seen.status} after content`);
  expect(!looksWhole(seen) && !seen.hasMark, "LOOKS WHOLE");
  expect(seen.error !== undefined, "no error event at the end");
  if (seen.error !== undefined) judgeErrorForm(cell, seen, ledger !== undefined, expect);
  expect(ledger === undefined || ledger.outcome === "CUT", `ledger says ${ledger?.outcome}`);
}

type Expect = (isRight: boolean, what: string) => void;

function judgeBill({ fault, caller, dialect }: Cell, ledger: NonNullable<CellResult["ledger"]>, expect: Expect): void {
  if (caller === "count-tokens") return;
  const { source, input, output } = ledger;
  // Google's embeddings never say what they used.
  const isCounted = fault.source !== undefined || (caller === "embeddings" && dialect.name === "gemini");
  expect(source === (isCounted ? "COUNTED" : "PROVIDER"), `source ${source}`);
  if (isCounted) {
    expect(input < 10_000 && output < 10_000, `${input} + ${output} tokens of such a small answer`);
    return;
  }
  const due = findOutput({ fault, caller });
  expect(input === INPUT && output === due, `${input} + ${output} tokens, said were ${INPUT} + ${due}`);
}

/** Tokens of an honest answer. */
function findOutput({ fault, caller }: Pick<Cell, "fault" | "caller">): number {
  if (COSTS[caller] !== undefined) return 0;
  return fault.command.answer === "reasoning" ? OUTPUT + 4 : OUTPUT;
}

function judgeAnswer(cell: Cell, seen: Seen, expect: Expect): void {
  const { fault, caller, dialect } = cell;
  const { answer = "text", usage = "honest" } = fault.command;
  const inputs = seen.tools.map(({ name, input }) => `${name} ${compact(input)}`);
  switch (answer) {
    case "text":
      expect(isText(cell, seen) || fault.command.fault === "huge", `text is "${seen.text.slice(0, 60)}"`);
      if (fault.command.fault === "huge") expect(seen.text.length === (1 << 20) + 16, `${seen.text.length} letters`);
      break;
    case "tool":
      expect(inputs.join() === 'lookup {"question":"how deep — 🌊"}', `tools are ${inputs.join()}`);
      break;
    case "tools":
      expect(
        inputs.join(" ") === 'lookup {"question":"how deep — 🌊"} measure {"metres":4}',
        `tools are ${inputs.join(" ")}`,
      );
      expect(new Set(seen.tools.map(({ id }) => id)).size === 2, "two tools have one id");
      expect(seen.text === "Let me look.", `text is "${seen.text}"`);
      break;
    case "reasoning":
      expect(isText(cell, seen), `text is "${seen.text.slice(0, 60)}"`);
      // Chat completions have no signatures, so neither the format nor OpenAI's and Azure's chats carry one.
      if (!caller.startsWith("chat-completions") && !(dialect.name === "openai" || dialect.name === "azure")) {
        const signatures = seen.reasoning.map(({ signature }) => signature).join("");
        // Responses have one member for what is signed and what is hidden, so that a mark may stand before a foreign signature.
        expect(signatures.endsWith(SIGNATURE), `signature is "${signatures}"`);
        expect(seen.reasoning.map(({ text }) => text).join("") === "Water is deep.", "reasoning is not what it was");
      }
      break;
    case "refusal":
    case "filtered":
      break;
    case "length":
      expect(seen.text === "The weir ho", `text is "${seen.text}"`);
  }
  const isStopped = STOPS[answer].test(seen.stop) || (answer === "refusal" && seen.refusal !== "");
  expect(isStopped || COSTS[caller] !== undefined, `stop is "${seen.stop}"`);
  // What was counted is told as such, and Google's embeddings say nothing else.
  if (usage === "honest" && !(caller === "embeddings" && dialect.name === "gemini")) {
    const output = findOutput(cell);
    const said = `${seen.usage?.input} + ${seen.usage?.output}`;
    expect(said === `${INPUT} + ${output}`, `the caller is told ${said} tokens`);
  }
}

/** Stops in the words of chat completions, responses, messages and ChatService. */
const STOPS = {
  text: /^(stop|completed|end_turn|END)$/,
  reasoning: /^(stop|completed|end_turn|END)$/,
  tool: /^(tool_calls|completed|tool_use|TOOL_USE)$/,
  tools: /^(tool_calls|completed|tool_use|TOOL_USE)$/,
  length: /^(length|incomplete: max_output_tokens|max_tokens|MAX_OUTPUT_TOKENS)$/,
  filtered: /^(content_filter|incomplete: content_filter|refusal|FILTERED|REFUSED)$/,
  refusal: /^(content_filter|incomplete: content_filter|refusal|FILTERED|REFUSED)$/,
};

/** Status that HTTP callers may see, by the row: those with which their clients do the right thing. */
function judgeError(cell: Cell, seen: Seen, isOwn: boolean, expect: Expect): void {
  expect(seen.error !== undefined && !looksWhole(seen), `no error: ${describeSeen(seen)}`);
  if (seen.error === undefined) return;
  judgeErrorForm(cell, seen, isOwn, expect);
  if (!isOwn) {
    // gRPC tells its errors in trailers.
    expect(cell.caller === "grpc" || seen.status >= 400, `status ${seen.status}`);
    return;
  }
  const { fault, status } = cell.fault.command;
  // Bedrock's error within a stream is that it throttles.
  const isThrottled = fault === "error" && cell.streamed && cell.dialect.name === "bedrock";
  const isRate = (fault === "status" && status === 429) || isThrottled;
  if (cell.caller !== "grpc") {
    const allowed =
      cell.due === "refusal" ? [400] : isRate ? [429] : cell.fault.isSilent ? [504, 529] : [502, 503, 529];
    expect(allowed.includes(seen.status), `status ${seen.status}, not ${allowed.join(" or ")}`);
  }
  const retryAfterS = cell.fault.command.retryAfterS;
  if (retryAfterS !== undefined && cell.caller !== "grpc") {
    expect(seen.headers["retry-after"] === `${retryAfterS}`, `retry-after is ${seen.headers["retry-after"]}`);
  }
  // A refused credential is refused again.
  const lasts = cell.due === "refusal" || status === 401;
  const { "x-should-retry": again } = seen.headers;
  expect((again === "false") === (lasts && cell.caller !== "grpc"), `x-should-retry is ${again}`);
}

function judgeErrorForm({ caller }: Cell, { error, headers }: Seen, isOwn: boolean, expect: Expect): void {
  expect((error?.message ?? "") !== "", "error without words");
  const type = error?.type ?? "";
  if (caller === "messages" || caller === "count-tokens")
    expect(ANTHROPIC_TYPES.includes(type), `error of type "${type}"`);
  else if (caller === "grpc") expect(/^[A-Z_]+ [A-Z_]+$/.test(type), `error of type "${type}"`);
  else expect(/^[a-z_]+$/.test(type), `error of type "${type}"`);
  if (isOwn) expect(headers["x-request-id"] !== undefined, "no x-request-id");
}

/** Whether the text is that of a whole answer: of an embedding its vector, of a number of tokens those that were said. */
function isText({ caller }: Cell, { text }: Seen): boolean {
  if (caller === "embeddings") return text === "0.5 -0.25";
  return text === (caller === "count-tokens" ? String(INPUT) : TEXT_PIECES.join(""));
}

function compact(json: string): string {
  try {
    return JSON.stringify(JSON.parse(json));
  } catch {
    return json;
  }
}

/** What was seen, in a few words. */
export function describeSeen(seen: Seen): string {
  const { status, error, stop, hasMark, isClean, text } = seen;
  if (error !== undefined) {
    return `${status} ${error.type}${status === 200 && (text !== "" || hasMark) ? " after text" : ""}`;
  }
  const end = hasMark ? stop || "marked end" : isClean ? "ends unmarked" : "broken off";
  return `${status} ${end}`;
}
