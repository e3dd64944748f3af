import type { DescService } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { ErrorInfoSchema } from "../gen/google/rpc/error_details_pb.ts";
import { systemClock } from "../services/shared/clock.ts";
import { WeirError } from "../services/shared/errors/weir-error.ts";
import { createMeshTransport } from "../services/shared/mesh/client.ts";
import { type Endpoint, findSessionFile, findTls, findToken } from "./addresses.ts";
import { findSessionToken } from "./session/session-token.ts";

/** How long a command waits for a service, in milliseconds. */
const RPC_TIMEOUT_MS = 15_000;

/**
 * Calls a service over gRPC as an operator (as nobody, when it is given as "host:port" alone), under TLS when the environment names certificates, and closes the connection afterwards. A service that is
 * not there fails the call at once: a person waits for the answer.
 */
export async function withClient<Service extends DescService, Result>(
  endpoint: Endpoint | string,
  service: Service,
  use: (client: Client<Service>) => Promise<Result>,
): Promise<Result> {
  const { address } = typeof endpoint === "string" ? { address: endpoint } : endpoint;
  const token = typeof endpoint === "string" ? undefined : await obtainToken(endpoint);
  const transport = createMeshTransport({
    addresses: [address],
    tls: findTls(process.env),
    waitForReady: false,
    ...(token !== undefined && { token: () => token }),
  });
  try {
    return await use(createClient(service, transport));
  } catch (error) {
    throw isAbsence(error) ? toAbsence(address, error) : error;
  } finally {
    transport.close();
  }
}

/** A session is for a mesh elsewhere: what listens on this machine need not be a mesh at all. */
async function obtainToken(endpoint: Endpoint): Promise<string | undefined> {
  const token = findToken(endpoint, process.env);
  if (token !== undefined || endpoint.tokenFile !== undefined) return token;
  return await findSessionToken(findSessionFile(process.env), systemClock.nowMs());
}

/** Whether nobody of Weir's answered: an error of a service names its reason. */
function isAbsence(error: unknown): error is ConnectError {
  return (
    error instanceof ConnectError &&
    (error.code === Code.Unavailable || error.code === Code.Unknown || error.code === Code.Internal) &&
    error.findDetails(ErrorInfoSchema).length === 0
  );
}

function toAbsence(address: string, cause: ConnectError): WeirError {
  const state = "no service that is asked for answers there; is the mesh up, and is this its address?";
  return new WeirError("UNAVAILABLE", `Cannot call ${address}: ${state}`, { facts: { address }, cause });
}

/** Options of every call of the command. */
export const CALL_OPTIONS = { timeoutMs: RPC_TIMEOUT_MS } as const;

/** Reads a paginated list to its end, or to a number of items. */
export async function readPages<Item>(
  read: (pageToken: string) => Promise<{ items: readonly Item[]; nextPageToken: string }>,
  limit = Number.POSITIVE_INFINITY,
): Promise<Item[]> {
  const items: Item[] = [];
  let pageToken = "";
  do {
    const page = await read(pageToken);
    items.push(...page.items);
    pageToken = page.nextPageToken;
  } while (pageToken !== "" && items.length < limit);
  return items.slice(0, limit === Number.POSITIVE_INFINITY ? undefined : limit);
}
