import type { JsonObject } from "@bufbuild/protobuf";

/** Events of one stream that are to be sent, each with its name and the next number. */
export class EventList {
  #text = "";
  #next = 0;

  /** Adds an event of this type. Members come after its type. */
  add(type: string, members: JsonObject): void {
    this.#text += `event: ${type}\ndata: ${JSON.stringify({ type, sequence_number: this.#next, ...members })}\n\n`;
    this.#next += 1;
  }

  /** Takes all that were added since the last time; empty when none was. */
  take(): Buffer {
    const bytes = Buffer.from(this.#text);
    this.#text = "";
    return bytes;
  }
}
