import { createInbox, ErrorCode, type Msg, type NatsConnection, NatsError, nanos } from "nats";

/** A message that the server waits to hear about. */
export interface PulledMessage {
  readonly subject: string;
  readonly payload: Uint8Array;
  /** The id it was published under; empty when it has none. */
  readonly messageId: string;
  /** How often it has been delivered, this time included. */
  readonly deliveries: number;
  /** It is done: the server forgets it. Not awaited by anybody; lost ones bring the message again. */
  acknowledge(): void;
  /** It is not done: the server delivers it again after `delayMs`. */
  giveBack(delayMs: number): void;
}

/** One question to a pull consumer. */
export interface PullOptions {
  readonly stream: string;
  readonly durable: string;
  readonly domain?: string;
  /** Most messages, from 1. */
  readonly batch: number;
  /** How long the server may wait for the first message; 0 takes what is there now. */
  readonly waitMs: number;
  /** Ends the question early, for example when the connection was lost and the server has forgotten it. */
  readonly signal: AbortSignal;
}

const GRACE_MS = 1_000;

/**
 * Asks once and returns what came, which may be nothing. The client library's own endless consumer is not used because it
 * pulls ahead of the handler: here nothing is in flight while a batch is being handled, so its acknowledgement deadline
 * counts handling time only, and nothing piles up in memory.
 */
export async function pull(connection: NatsConnection, options: PullOptions): Promise<PulledMessage[]> {
  const { batch, waitMs, signal } = options;
  const messages: PulledMessage[] = [];
  const ended = Promise.withResolvers<void>();
  const inbox = createInbox();
  const subscription = connection.subscribe(inbox, {
    callback: (error, message) => {
      if (error !== null) return ended.reject(error);
      // Status messages (nothing there, time is up) come to the inbox itself, without a way to acknowledge them.
      if (isStatus(message)) return message.headers?.code === 503 ? ended.reject(noResponders()) : ended.resolve();
      messages.push(toPulled(message));
      if (messages.length >= batch) ended.resolve();
    },
  });
  const abort = (): void => ended.resolve();
  // A server that has the consumer always answers, if only that the time is up. nats-server 2.9 drops a question about a consumer
  // that it does not have (or no longer has) without a word.
  const timeout = setTimeout(() => ended.reject(silence()), waitMs + GRACE_MS);
  signal.addEventListener("abort", abort, { once: true });
  try {
    if (signal.aborted) return [];
    connection.publish(subjectOf(options), JSON.stringify(requestOf(options)), { reply: inbox });
    await ended.promise;
    return messages;
  } catch (error) {
    // What has come must be handled, or it would come again only after its acknowledgement deadline.
    if (messages.length > 0) return messages;
    throw error;
  } finally {
    clearTimeout(timeout);
    signal.removeEventListener("abort", abort);
    subscription.unsubscribe();
  }
}

function subjectOf({ domain, stream, durable }: PullOptions): string {
  return `$JS.${domain === undefined ? "" : `${domain}.`}API.CONSUMER.MSG.NEXT.${stream}.${durable}`;
}

// https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-37.md and ADR-13
function requestOf({ batch, waitMs }: PullOptions): object {
  return waitMs === 0 ? { batch, no_wait: true } : { batch, expires: nanos(waitMs) };
}

// The answers are those of ADR-13's acknowledgement protocol; the client library makes such messages for its own consumers only.
function toPulled(message: Msg): PulledMessage {
  return {
    subject: message.subject,
    payload: message.data,
    messageId: message.headers?.get("Nats-Msg-Id") ?? "",
    deliveries: deliveriesOf(message.reply ?? ""),
    acknowledge: () => void message.respond("+ACK"),
    giveBack: (delayMs) => void message.respond(`-NAK ${JSON.stringify({ delay: nanos(delayMs) })}`),
  };
}

// "$JS.ACK.<stream>.<consumer>.<deliveries>.…", and with two more words in front of the stream since 2.8 when there is a domain:
// "$JS.ACK.<domain>.<account>.<stream>.<consumer>.<deliveries>.….<random>".
function deliveriesOf(reply: string): number {
  const words = reply.split(".");
  return Number(words[words.length === 9 ? 4 : 6]) || 1;
}

function isStatus(message: Msg): boolean {
  return (message.headers?.code ?? 0) > 0;
}

function silence(): NatsError {
  return new NatsError("no answer to a pull", ErrorCode.Timeout);
}

function noResponders(): NatsError {
  return new NatsError("no JetStream answers", ErrorCode.NoResponders);
}
