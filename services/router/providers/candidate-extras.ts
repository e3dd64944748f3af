import type { JsonObject } from "@bufbuild/protobuf";
import { toExtras, toList, toObject } from "./shape.ts";

/** Most entries of one list that are kept: tokens with their probabilities. */
const MOST_ENTRIES = 16_384;

/**
 * What only a dialect knows of the candidates of a streamed answer. Typed streams have no place for it but their end, so it is gathered. What
 * is said again takes the place of what was said before, but for one member that goes on from event to event, such as the
 * probabilities of tokens: its lists are joined, to 16,384 entries each.
 */
export class CandidateExtras {
  readonly #growing: string;
  readonly #byIndex = new Map<number, JsonObject>();

  /** `growing` is the name of the member that goes on. */
  constructor(growing: string) {
    this.#growing = growing;
  }

  /** Adds what an event says of a candidate. Members that are null say nothing. */
  add(index: number, members: Record<string, unknown>): void {
    const { extras } = toExtras(members);
    if (extras === undefined) return;
    const before = this.#byIndex.get(index);
    const grown = before?.[this.#growing];
    const more = extras[this.#growing];
    const isJoined = grown !== undefined && more !== undefined;
    this.#byIndex.set(index, { ...before, ...extras, ...(isJoined && { [this.#growing]: join(grown, more) }) });
  }

  /** The same among the extras of the answer: as `candidates`, each with its index. */
  addTo(extras: JsonObject | undefined): JsonObject | undefined {
    if (this.#byIndex.size === 0) return extras;
    return { ...extras, candidates: [...this.#byIndex].map(([index, said]) => ({ index, ...said })) };
  }
}

function join(before: unknown, more: unknown): JsonObject {
  const joined: Record<string, unknown> = { ...toObject(before) };
  for (const [name, value] of Object.entries(toObject(more))) {
    if (value === null) continue;
    const list = joined[name];
    if (!Array.isArray(value) || !Array.isArray(list)) joined[name] = value;
    else if (list.length < MOST_ENTRIES) joined[name] = list.concat(toList(value)).slice(0, MOST_ENTRIES);
  }
  return joined as JsonObject;
}
