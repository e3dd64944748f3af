import { Code, type ConnectError } from "@connectrpc/connect";
import { toConnectError } from "../errors/wire.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";

/**
 * Measures a call that is over, and turns what ended it into what its caller may see: `method` is "package.Service/Method",
 * `beganMs` of `performance.now()`. Returns nothing for a call that succeeded.
 */
export type SettleCall = (method: string, beganMs: number, error?: unknown) => ConnectError | undefined;

/** Creates what settles the calls of a server, by whichever handler they were served. Logs what is our own fault. */
export function createSettleCall(log: Log, metrics?: Pick<Metrics, "rpc_server_call_duration_seconds">): SettleCall {
  return (method, beganMs, error) => {
    const sent = error === undefined ? undefined : toConnectError(error);
    metrics?.rpc_server_call_duration_seconds.observe(
      { rpc_method: method, rpc_response_status_code: sent === undefined ? "OK" : Code[sent.code] },
      (performance.now() - beganMs) / 1000,
    );
    if (sent?.code === Code.Internal || sent?.code === Code.DataLoss) log.error({ err: error, method }, "RPC failed");
    else if (sent !== undefined) log.debug({ err: error, method }, "RPC refused");
    return sent;
  };
}
