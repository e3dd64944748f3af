import { type ClientHttp2Session, connect } from "node:http2";
import { create, toBinary } from "@bufbuild/protobuf";
import { WatchSnapshotsRequestSchema } from "../../../gen/weir/policy/v1/snapshot_service_pb.ts";

const PATH = "/weir.policy.v1.SnapshotService/WatchSnapshots";
const FRAME_HEAD_BYTES = 5;

/** Who watches, and what it says that it holds. */
export interface LightWatchOptions {
  /** "host:port". */
  readonly address: string;
  readonly region: string;
  readonly instance: string;
  readonly boot: string;
  readonly keyringVersion: bigint;
  readonly keyringDigest: Uint8Array;
  readonly snapshotVersion: bigint;
  readonly snapshotDigest: Uint8Array;
  /** Takes each message, encoded. The bytes may be of a larger array. */
  readonly onMessage: (bytes: Buffer) => void;
  /** Called once, when the watch is over for another reason than `close`. */
  readonly onLost: (error: Error) => void;
}

/**
 * A watch over gRPC on a connection of its own that does next to nothing else, so that a thousand of them fit beside what they watch:
 * frames are cut out of the stream and handed on as they came.
 */
export class LightWatch {
  readonly #session: ClientHttp2Session;
  #rest: Buffer = Buffer.alloc(0);
  #isOver = false;
  /** Bytes of messages that came so far. */
  bytes = 0;

  constructor(options: LightWatchOptions) {
    const { address, onMessage, onLost, ...names } = options;
    const over = (error: Error): void => {
      if (this.#isOver) return;
      this.#isOver = true;
      onLost(error);
    };
    this.#session = connect(`http://${address}`, { settings: { initialWindowSize: 1 << 20 } });
    this.#session.on("error", over);
    const stream = this.#session.request({
      ":method": "POST",
      ":path": PATH,
      "content-type": "application/grpc",
      te: "trailers",
    });
    stream.on("error", over);
    stream.on("close", () => over(new Error("Cannot watch: policy has ended the stream")));
    stream.on("data", (bytes: Buffer) => {
      this.bytes += bytes.length;
      this.#cut(bytes, onMessage);
    });
    const features: string[] = [];
    const message = toBinary(WatchSnapshotsRequestSchema, create(WatchSnapshotsRequestSchema, { ...names, features }));
    const head = Buffer.alloc(FRAME_HEAD_BYTES);
    head.writeUInt32BE(message.length, 1);
    stream.end(Buffer.concat([head, message]));
  }

  /** Hangs up at once, as a process that dies does. */
  close(): void {
    this.#isOver = true;
    this.#session.destroy();
  }

  #cut(bytes: Buffer, onMessage: (bytes: Buffer) => void): void {
    let buffer = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    while (buffer.length >= FRAME_HEAD_BYTES) {
      const end = FRAME_HEAD_BYTES + buffer.readUInt32BE(1);
      if (buffer.length < end) break;
      onMessage(buffer.subarray(FRAME_HEAD_BYTES, end));
      buffer = buffer.subarray(end);
    }
    this.#rest = buffer;
  }
}
