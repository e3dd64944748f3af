/** A call as the provider bills it, whatever the router thinks of it: the other side of the books for tests. */
export interface BilledCall {
  /** Id of the answer, as in its `id`. */
  readonly id: string;
  readonly model: string;
  readonly stream: boolean;
  /** The caller's `x-request-id`, when it sent one. */
  readonly requestId: string | undefined;
  /** "running" until it ends; then how it ended. */
  status: "running" | "answered" | "failed" | "cut" | "left by caller";
  promptTokens: number;
  /** Tokens of the content that was sent. */
  completionTokens: number;
  readonly startedAt: string;
}

/** Calls kept; the oldest are dropped beyond it. */
const MAX_CALLS = 100_000;

/** The provider's own list of calls. */
export class Bill {
  readonly #calls = new Map<string, BilledCall>();

  /** Opens a call. */
  open(call: BilledCall): BilledCall {
    this.#calls.set(call.id, call);
    if (this.#calls.size > MAX_CALLS) {
      for (const oldest of this.#calls.keys()) {
        this.#calls.delete(oldest);
        break;
      }
    }
    return call;
  }

  /** All calls, oldest first, with their totals. */
  toJSON(): { calls: BilledCall[]; totals: { calls: number; promptTokens: number; completionTokens: number } } {
    const calls = [...this.#calls.values()];
    return {
      calls,
      totals: {
        calls: calls.length,
        promptTokens: calls.reduce((sum, call) => sum + call.promptTokens, 0),
        completionTokens: calls.reduce((sum, call) => sum + call.completionTokens, 0),
      },
    };
  }

  /** Forgets all calls. */
  clear(): void {
    this.#calls.clear();
  }
}
