import { create, fromBinary } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  type Credential,
  CredentialSchema,
  type CredentialService,
  SealedCredentialSchema,
} from "../../gen/weir/policy/v1/credential_service_pb.ts";
import { createPageToken, readPageSize, readPageToken } from "../shared/page.ts";
import { toActing } from "./acting.ts";
import { deleteCredential, setCredential } from "./change-credential.ts";
import { CONNECTED_MS } from "./distribution/attendance.ts";
import type { Wakes } from "./distribution/wake.ts";
import { watchCredentialPieces } from "./distribution/watch-credentials.ts";
import type { ChangeParts } from "./publish.ts";
import { type CredentialUse, listCredentialUse, storeCredentialReport } from "./store/credential-reports.ts";
import { findCredential, listCredentials, type StoredCredential } from "./store/credentials.ts";

const PAGE = { default: 50, max: 200 };

/** Serves weir.policy.v1.CredentialService. Envelopes leave through `watchCredentials` only; a watch needs no database. */
export function createCredentialService(
  parts: ChangeParts & { readonly wakes: Wakes },
): ServiceImpl<typeof CredentialService> {
  const { pool, catalogue, clock, wakes } = parts;
  const describe = async (organisation: string, credentials: readonly StoredCredential[]): Promise<Credential[]> => {
    const names = credentials.map(({ name }) => name);
    const uses = await listCredentialUse(pool, organisation, names, CONNECTED_MS);
    return credentials.map((credential) => toCredential(credential, uses));
  };
  const describeOne = async (credential: StoredCredential): Promise<Credential | undefined> =>
    (await describe(credential.organisation, [credential]))[0];
  return {
    async setCredential(request, context) {
      const credential = await describeOne(await setCredential(parts, request, toActing(context)));
      return { ...(credential && { credential }) };
    },
    async deleteCredential(request, context) {
      const credential = await describeOne(await deleteCredential(parts, request, toActing(context)));
      return { ...(credential && { credential }) };
    },
    async listCredentials({ organisation, name, pageSize, pageToken }) {
      if (name !== "") {
        const found = await findCredential(pool, organisation, name);
        return { credentials: found === undefined ? [] : await describe(organisation, [found]) };
      }
      const limit = readPageSize(pageSize, PAGE);
      const list = ["credentials", organisation];
      const [after = ""] = readPageToken(list, pageToken, 1) ?? [];
      // One more than the page has, to know whether there is another.
      const found = await listCredentials(pool, organisation, { after, limit: limit + 1 });
      const page = found.slice(0, limit);
      const last = found.length > limit ? page.at(-1) : undefined;
      return {
        credentials: await describe(organisation, page),
        nextPageToken: last === undefined ? "" : createPageToken(list, [last.name]),
      };
    },
    async *watchCredentials(request, { signal }) {
      yield* watchCredentialPieces(request, { catalogue, clock, wakes, signal });
    },
    async reportCredentials({ region, instance, boot, setVersion, held }) {
      await storeCredentialReport(pool, { region, instance, boot, setVersion, held });
      return {};
    },
  };
}

function toCredential(stored: StoredCredential, uses: readonly CredentialUse[]): Credential {
  const { organisation, name, version, envelopes } = stored;
  const regions = envelopes.map((envelope) => {
    const { keyId, origins } = fromBinary(SealedCredentialSchema, envelope.sealed);
    const { region, setVersion } = envelope;
    const use = uses.find((one) => one.name === name && one.region === region);
    const laggards = (use?.laggards ?? []).map((laggard) => ({ ...laggard }));
    return {
      region,
      version: envelope.version,
      keyId,
      origins,
      setAt: timestampFromDate(envelope.setAt),
      setVersion,
      routers: use?.routers ?? 0,
      using: use?.using ?? 0,
      laggards,
    };
  });
  return create(CredentialSchema, { organisation, name, version, regions });
}
