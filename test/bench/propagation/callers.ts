import { Agent, request } from "node:http";
import { setTimeout } from "node:timers/promises";

/** Between an answer and the next question of a connection: the routers shall be at work, not at their limit. */
const PAUSE_MS = 10;

/** Callers that ask one key's chats again and again on connections of their own, and note when one was accepted last. */
export class KeyCallers {
  readonly #urls: readonly string[];
  readonly #secret: string;
  readonly #agents: Agent[] = [];
  #isOver = false;
  /** When the last answer of 200 came, milliseconds of the monotonic clock. */
  lastAcceptedMs = 0;
  accepted = 0;
  /** Answers of another status than 200, by status. */
  readonly refused = new Map<number, number>();
  failed = 0;

  /** `connections` for each URL of a router (with /v1). */
  constructor(urls: readonly string[], secret: string) {
    this.#urls = urls;
    this.#secret = secret;
  }

  /** Begins; resolves once each connection has had an answer. */
  async begin(connections: number): Promise<void> {
    const loops = this.#urls.flatMap((url) => Array.from({ length: connections }, () => this.#open(url)));
    await Promise.all(loops);
  }

  /** Ends all of it. */
  end(): void {
    this.#isOver = true;
    for (const agent of this.#agents) agent.destroy();
  }

  async #open(url: string): Promise<void> {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    this.#agents.push(agent);
    await this.#ask(url, agent);
    void this.#loop(url, agent);
  }

  async #loop(url: string, agent: Agent): Promise<void> {
    while (!this.#isOver) {
      await this.#ask(url, agent);
      await setTimeout(PAUSE_MS);
    }
  }

  #ask(url: string, agent: Agent): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => resolve();
      const asked = request(
        `${url}/chat/completions`,
        {
          agent,
          method: "POST",
          headers: { authorization: `Bearer ${this.#secret}`, "content-type": "application/json" },
        },
        (response) => {
          const { statusCode = 0 } = response;
          if (statusCode === 200) {
            this.accepted += 1;
            this.lastAcceptedMs = Number(process.hrtime.bigint()) / 1e6;
          } else {
            this.refused.set(statusCode, (this.refused.get(statusCode) ?? 0) + 1);
          }
          response.resume().once("close", done);
        },
      );
      asked.once("error", () => {
        if (!this.#isOver) this.failed += 1;
        done();
      });
      asked.end(BODY);
    });
  }
}

const BODY = JSON.stringify({ model: "small", messages: [{ role: "user", content: "hi" }] });
