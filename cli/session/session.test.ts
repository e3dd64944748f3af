import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
// @ts-expect-error it comes without types
import Provider from "oidc-provider";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Authority } from "../../services/shared/authority/authority.ts";
import { parseOperators } from "../../services/shared/authority/operators-file.ts";
import { systemClock } from "../../services/shared/clock.ts";
import { lockFolder } from "../../services/shared/folder-lock.ts";
import { createLog } from "../../services/shared/telemetry/log.ts";
import { clickThrough } from "./browser.fixture.ts";
import { revokeSession, signIn } from "./issuer.ts";
import { findSession, keepSession, type Session } from "./session-file.ts";
import { findSessionToken, takeSession } from "./session-token.ts";

const server = createServer();
let issuer: string;
let folder: string;
let path: string;

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: "weir",
        token_endpoint_auth_method: "none",
        application_type: "native",
        grant_types: ["urn:ietf:params:oauth:grant-type:device_code", "refresh_token"],
        redirect_uris: [],
        response_types: [],
      },
    ],
    cookies: { keys: ["test"] },
    rotateRefreshToken: true,
    features: {
      deviceFlow: { enabled: true },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: () => ({ scope: "", audience: "weir-mesh", accessTokenFormat: "jwt" }),
      },
    },
  });
  provider.use(async (context: { path: string; body: object }, next: () => Promise<void>) => {
    await next();
    // So that a test need not wait for the usual 5 s.
    if (context.path === "/device/auth") context.body = { ...context.body, interval: 0.01 };
  });
  server.on("request", provider.callback());
});
afterAll(() => server.close());
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "weir-session-"));
  path = join(folder, "weir", "session.json");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Signs alice in, who says yes in a browser. */
async function signAliceIn(resource?: string): Promise<Session> {
  const browsing: Promise<string>[] = [];
  const options = { issuer, clientId: "weir", ...(resource !== undefined && { resource }) };
  const session = await signIn(options, ({ uri, code }) => {
    expect(uri).toContain(code);
    browsing.push(clickThrough(uri, { login: "alice", password: "any" }));
  });
  await Promise.all(browsing);
  return session;
}

/** Who a mesh takes the bearer of a token for. */
async function identify(token: string, audience: string) {
  const operators = parseOperators(`
issuers: [{ url: "${issuer}", audiences: ["${audience}"] }]
bindings: [{ issuer: "${issuer}", subject: alice, grants: [{ roles: [ROLE_VIEWER], organisation: "*" }] }]
`);
  const log = createLog({ service: "test", level: "silent" });
  const authority = new Authority({ operators, clock: systemClock, log });
  return await authority.identify({ authorization: `Bearer ${token}`, service: undefined, isLocal: true });
}

const ALICE = { kind: "operator", subject: "alice", grants: [{ role: "VIEWER" }] };

describe("signIn()", () => {
  it("gives a token that says who signed in, which a mesh accepts for the client", async () => {
    const session = await signAliceIn();

    expect(await identify(session.token, "weir")).toMatchObject(ALICE);
    expect(session.expiresAtMs).toBeGreaterThan(systemClock.nowMs());
  });

  it("gives an access token for a resource when one is named", async () => {
    const session = await signAliceIn("urn:weir:mesh");

    expect(await identify(session.token, "weir-mesh")).toMatchObject(ALICE);
  });

  it("says what the issuer says when the operator says no", async () => {
    const browsing: Promise<string>[] = [];
    const refused = signIn({ issuer, clientId: "weir" }, ({ uri }) => {
      browsing.push(clickThrough(uri, { abort: "yes" }));
    });

    await expect(refused).rejects.toThrow(/^Cannot sign in at "http.*": access_denied/);
    await Promise.all(browsing);
  });

  it("says what the issuer says of a client that it does not know", async () => {
    await expect(signIn({ issuer, clientId: "nobody" }, () => undefined)).rejects.toThrow(/: invalid_client/);
  });
});

describe("a session", () => {
  it("is kept in a file for its owner alone", async () => {
    keepSession(path, await signAliceIn());

    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(join(folder, "weir")).mode & 0o777).toBe(0o700);
  });

  it("shows its token until that is about to end, then the next one, asked for once by commands that start together", async () => {
    const session = await signAliceIn("urn:weir:mesh");
    keepSession(path, { ...session, expiresAtMs: systemClock.nowMs() + 30_000 });

    const nowMs = systemClock.nowMs();
    const early = await findSessionToken(path, nowMs - 60_000);
    const late = await Promise.all([findSessionToken(path, nowMs), findSessionToken(path, nowMs)]);

    expect(early).toBe(session.token);
    expect(late[0]).not.toBe(session.token);
    expect(await identify(late[0]!, "weir-mesh")).toMatchObject(ALICE);
    expect(findSession(path)?.token).toBe(late[0]);
    expect(late[1]).toBe(late[0]);
  });

  it("is asked to be made again once its issuer knows nothing of it", async () => {
    const session = await signAliceIn();
    keepSession(path, session);
    await revokeSession(session);

    await expect(findSessionToken(path, session.expiresAtMs)).rejects.toThrow(
      /^Cannot renew session, sign in again with weir login: invalid_grant/,
    );
  });

  it("is none where nobody has signed in", async () => {
    expect(await findSessionToken(path, 0)).toBeUndefined();
    expect(existsSync(path)).toBe(false);
  });

  it("is over once it was taken, also when another command was just renewing it", async () => {
    const session = { issuer, clientId: "weir", token: "old", expiresAtMs: 0, refreshToken: "r1" };
    keepSession(path, session);
    const renewing = await lockFolder(join(folder, "weir"));

    const taken = takeSession(path);
    keepSession(path, { ...session, token: "new", refreshToken: "r2" });
    await renewing?.release();

    expect(await taken).toMatchObject({ token: "new", refreshToken: "r2" });
    expect([existsSync(path), await takeSession(path)]).toEqual([false, undefined]);
  });

  it("whose file was damaged is refused without a word of what is in it", async () => {
    mkdirSync(join(folder, "weir"));
    writeFileSync(path, '{"token": 7, "refreshToken": "secret-text"}');

    await expect(findSessionToken(path, 0)).rejects.toThrow(/^Cannot read session: (?!.*secret-text)/);
  });
});
