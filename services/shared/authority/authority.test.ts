import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { exportJWK, exportSPKI, generateKeyPair, type JWK, SignJWT, UnsecuredJWT } from "jose";
// @ts-expect-error it comes without types
import Provider from "oidc-provider";
import { afterEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { ManualClock } from "../clock.ts";
import { createKey, hashKey } from "../key/key.ts";
import { createLog } from "../telemetry/log.ts";
import { Authority, type Peer } from "./authority.ts";
import type { Identity } from "./identity.ts";
import { COOL_DOWN_MS, STALE_LIMIT_MS } from "./issuer-keys.ts";
import { parseOperators } from "./operators-file.ts";

const closers: (() => unknown)[] = [];
const lines: string[] = [];
const log = createLog({ service: "test", level: "trace", destination: { write: (line) => void lines.push(line) } });

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
  lines.length = 0;
});

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closers.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** An issuer that a test can take down, and whose keys it can change. */
class TestIssuer {
  url = "";
  keys: JWK[] = [];
  fetches = 0;
  isDown = false;

  static async start(): Promise<TestIssuer> {
    const issuer = new TestIssuer();
    issuer.url = await listen(
      createServer((request, response) => {
        if (issuer.isDown) return void response.destroy();
        if (request.url === "/jwks") issuer.fetches += 1;
        const discovery = { issuer: issuer.url, jwks_uri: `${issuer.url}/jwks` };
        response.end(JSON.stringify(request.url === "/jwks" ? { keys: issuer.keys } : discovery));
      }),
    );
    return issuer;
  }

  /** Makes a key that the issuer publishes. */
  async makeKey(kid: string, alg = "ES256") {
    const pair = await generateKeyPair(alg, { extractable: true });
    this.keys.push({ ...(await exportJWK(pair.publicKey)), kid, alg });
    return pair;
  }
}

async function startAuthority() {
  const issuer = await TestIssuer.start();
  const clock = new ManualClock();
  const nowS = clock.nowMs() / 1000;
  const pair = await issuer.makeKey("k1");
  const operators = parseOperators(`
issuers:
  - url: ${issuer.url}
    audiences: [weir]
bindings:
  - issuer: ${issuer.url}
    subject: alice
    grants: [{ roles: [ROLE_PUBLISHER], organisation: "*" }]
  - issuer: ${issuer.url}
    group: finance
    grants: [{ roles: [ROLE_VIEWER], organisation: acme, environment: staging }]
`);
  const authority = new Authority({ operators, clock, log });
  const sign = (claims: Record<string, unknown> = {}, header: Record<string, unknown> = {}, key = pair.privateKey) =>
    new SignJWT({ iss: issuer.url, aud: "weir", sub: "alice", exp: nowS + 300, ...claims })
      .setProtectedHeader({ alg: "ES256", kid: "k1", ...header })
      .sign(key);
  return { issuer, clock, nowS, pair, authority, sign };
}

const identify = async (authority: Authority, token: string, rest: Partial<Peer> = {}): Promise<Identity> =>
  await authority.identify({ authorization: `Bearer ${token}`, service: undefined, isLocal: true, ...rest });

const reasonOf = (promise: Promise<unknown>) =>
  promise.then(
    () => "accepted",
    (error: { reason: string; message: string }) => `${error.reason} ${error.message}`,
  );

describe("a token", () => {
  it("says who its operator is, with the roles of the subject and of the groups", async () => {
    const { authority, sign, issuer } = await startAuthority();

    const alice = await identify(authority, await sign({ groups: ["finance", "other"] }));

    expect(alice).toEqual({
      kind: "operator",
      issuer: issuer.url,
      subject: "alice",
      grants: [
        { role: "PUBLISHER", organisation: "*", environment: "" },
        { role: "VIEWER", organisation: "acme", environment: "staging" },
      ],
    });
  });

  it("of an operator whom no binding names gives no role", async () => {
    const { authority, sign } = await startAuthority();

    expect(await identify(authority, await sign({ sub: "mallory" }))).toMatchObject({ subject: "mallory", grants: [] });
  });

  it("is refused when it has expired, is not good yet, is for others, or names nobody", async () => {
    const { authority, sign, nowS } = await startAuthority();
    const asks = async (claims: Record<string, unknown>) => reasonOf(identify(authority, await sign(claims)));

    expect(await asks({ exp: nowS - 31 })).toBe("TOKEN_REFUSED Cannot accept token: it has expired");
    expect(await asks({ exp: undefined })).toContain("TOKEN_REFUSED");
    expect(await asks({ nbf: nowS + 31 })).toBe("TOKEN_REFUSED Cannot accept token: it is not good yet");
    expect(await asks({ aud: "another" })).toContain('its claim "aud" is not what it should be');
    expect(await asks({ iss: "https://issuer.example" })).toContain("its issuer is not trusted");
    expect(await asks({ sub: "" })).toContain('its claim "sub" names nobody');
    expect(await asks({ exp: nowS - 29, nbf: nowS + 29 })).toBe("accepted");
  });

  it("is refused without a signature, and when the public key was taken for a shared secret", async () => {
    const { authority, issuer, nowS, pair } = await startAuthority();
    const claims = { iss: issuer.url, aud: "weir", sub: "alice", exp: nowS + 300 };
    const unsigned = new UnsecuredJWT(claims).encode();
    const confused = await new SignJWT(claims)
      .setProtectedHeader({ alg: "HS256", kid: "k1" })
      .sign(new TextEncoder().encode(await exportSPKI(pair.publicKey)));

    expect(await reasonOf(identify(authority, unsigned))).toContain("TOKEN_REFUSED");
    expect(await reasonOf(identify(authority, confused))).toContain("its algorithm is not accepted");
  });

  it("is refused with a changed byte, when another key signed it, and when it is huge or no token at all", async () => {
    const { authority, sign } = await startAuthority();
    const { privateKey } = await generateKeyPair("ES256");
    const token = await sign();
    const [header, , signature] = token.split(".");
    const payload = Buffer.from(JSON.stringify({ iss: JSON.parse(decodePayload(token)).iss, sub: "root" })).toString(
      "base64url",
    );

    expect(await reasonOf(identify(authority, await sign({}, {}, privateKey)))).toContain(
      "its signature does not hold",
    );
    expect(await reasonOf(identify(authority, `${header}.${payload}.${signature}`))).toContain("TOKEN_REFUSED");
    expect(await reasonOf(identify(authority, `${header}.${"a".repeat(20_000)}.x`))).toContain("it is too long");
    expect(await reasonOf(identify(authority, "nonsense"))).toContain("it is no token");
  });

  it("is judged alone: a certificate or loopback does not make a bad one good", async () => {
    const { authority } = await startAuthority();
    const service = { kind: "service", service: "router", region: "eu", instance: "eu-1" } as const;

    expect(await reasonOf(identify(authority, "nonsense", { service, isLocal: true }))).toContain("TOKEN_REFUSED");
  });

  it("appears in no log line", async () => {
    const { authority, sign, issuer } = await startAuthority();
    const token = await sign();
    issuer.isDown = true;

    await reasonOf(identify(authority, token));

    expect(lines.join("")).toContain("Cannot fetch the keys of an issuer");
    expect(lines.join("")).not.toContain(token.slice(0, 40));
  });
});

const decodePayload = (token: string) => Buffer.from(token.split(".")[1] ?? "", "base64url").toString();

describe("the keys of an issuer", () => {
  it("are fetched again for a key that came later, and not once for each unknown one", async () => {
    const { authority, issuer, clock, sign } = await startAuthority();
    await identify(authority, await sign());
    const next = await issuer.makeKey("k2");

    const early = await reasonOf(identify(authority, await sign({}, { kid: "k2" }, next.privateKey)));
    clock.advance(COOL_DOWN_MS);
    const late = await reasonOf(identify(authority, await sign({}, { kid: "k2" }, next.privateKey)));
    for (let n = 0; n < 50; n++) await reasonOf(identify(authority, await sign({}, { kid: `unknown-${n}` })));

    expect([early, late, issuer.fetches]).toEqual([
      "TOKEN_REFUSED Cannot accept token: its signature does not hold",
      "accepted",
      2,
    ]);
  });

  it("go on while the issuer is away, for a day and no longer", async () => {
    const { authority, issuer, clock, sign } = await startAuthority();
    await identify(authority, await sign());
    issuer.isDown = true;
    const exp = clock.nowMs() / 1000 + 10 * 86_400;

    clock.advance(STALE_LIMIT_MS - 1_000);
    const within = await reasonOf(identify(authority, await sign({ exp })));
    clock.advance(COOL_DOWN_MS + 1_001);
    const beyond = await reasonOf(identify(authority, await sign({ exp })));
    issuer.isDown = false;
    clock.advance(COOL_DOWN_MS);
    const back = await reasonOf(identify(authority, await sign({ exp })));

    expect([within, beyond.split(" ")[0], back]).toEqual(["accepted", "UNAVAILABLE", "accepted"]);
  });

  it("are not fetched in the clear, also where their issuer says so", async () => {
    const fetched: string[] = [];
    const discovery = { issuer: "https://idp.test", jwks_uri: "http://idp.test/jwks" };
    vi.stubGlobal("fetch", async (url: string) => {
      fetched.push(url);
      return Response.json(url.endsWith("/jwks") ? { keys: [] } : discovery);
    });
    onTestFinished(() => void vi.unstubAllGlobals());
    const operators = parseOperators('issuers: [{ url: "https://idp.test", audiences: [weir] }]');
    const authority = new Authority({ operators, clock: new ManualClock(), log });
    const { privateKey } = await generateKeyPair("ES256");
    const token = await new SignJWT({ iss: "https://idp.test" }).setProtectedHeader({ alg: "ES256" }).sign(privateKey);

    const answer = await reasonOf(identify(authority, token));

    expect([answer.split(" ")[0], fetched]).toEqual([
      "UNAVAILABLE",
      ["https://idp.test/.well-known/openid-configuration"],
    ]);
  });

  it("that are shared secrets are not taken, wherever they stand", async () => {
    const { authority, issuer, nowS } = await startAuthority();
    issuer.keys.push({ kty: "oct", kid: "shared", k: Buffer.from("secret").toString("base64url") });
    const token = await new SignJWT({ iss: issuer.url, aud: "weir", sub: "alice", exp: nowS + 300 })
      .setProtectedHeader({ alg: "HS256", kid: "shared" })
      .sign(new TextEncoder().encode("secret"));

    expect(await reasonOf(identify(authority, token))).toContain("TOKEN_REFUSED");
  });
});

describe("a real issuer", () => {
  it("gives a machine a token by its client credentials, which the authority accepts", async () => {
    const server = createServer();
    const url = await listen(server);
    const provider = new Provider(url, {
      clients: [
        {
          client_id: "ci",
          client_secret: "s",
          grant_types: ["client_credentials"],
          redirect_uris: [],
          response_types: [],
        },
      ],
      features: {
        clientCredentials: { enabled: true },
        resourceIndicators: {
          enabled: true,
          getResourceServerInfo: () => ({ scope: "", audience: "weir", accessTokenFormat: "jwt" }),
        },
      },
    });
    server.on("request", provider.callback());
    const answer = await fetch(`${url}/token`, {
      method: "POST",
      headers: { authorization: `Basic ${Buffer.from("ci:s").toString("base64")}` },
      body: new URLSearchParams({ grant_type: "client_credentials", resource: "urn:weir" }),
    });
    const { access_token: token } = (await answer.json()) as { access_token: string };
    const clock = new ManualClock(Number(JSON.parse(decodePayload(token)).iat) * 1_000);
    const operators = parseOperators(`
issuers: [{ url: "${url}", audiences: [weir] }]
bindings: [{ issuer: "${url}", subject: ci, grants: [{ roles: [ROLE_PUBLISHER], organisation: "*" }] }]
`);

    const identity = await identify(new Authority({ operators, clock, log }), token);

    expect(identity).toMatchObject({ kind: "operator", issuer: url, subject: "ci", grants: [{ role: "PUBLISHER" }] });
  });
});

describe("an admin key", () => {
  const { keyId, text } = createKey("admin");
  const clock = new ManualClock();
  const document = (rest = "") => `
adminKeys:
  - id: ${keyId}
    sha256: ${Buffer.from(hashKey(text)).toString("hex")}
    grants: [{ roles: [ROLE_KEY_MANAGER], organisation: acme }]
    ${rest}
`;

  it("says who its operator is, until it expires", async () => {
    const operators = parseOperators(document(`expiresAt: ${new Date(clock.nowMs() + 1_000).toISOString()}`));
    const authority = new Authority({ operators, clock, log });

    const before = await identify(authority, text);
    clock.advance(1_000);
    const after = await reasonOf((async () => await identify(authority, text))());

    expect(before).toMatchObject({ issuer: "weir:admin-key", subject: keyId, grants: [{ role: "KEY_MANAGER" }] });
    expect(after).toBe("TOKEN_REFUSED Cannot accept token: it has expired");
  });

  it("is refused alike when its id is not known and when its secret is another's", async () => {
    const authority = new Authority({ operators: parseOperators(document()), clock, log });
    const stranger = createKey("admin").text;
    const virtual = createKey("production").text;
    const other = createKey("admin");
    const known = parseOperators(document().replace(keyId, other.keyId));
    const mixed = new Authority({ operators: known, clock, log });

    const answers = await Promise.all([
      reasonOf((async () => await identify(authority, stranger))()),
      reasonOf((async () => await identify(authority, virtual))()),
      reasonOf((async () => await identify(mixed, other.text))()),
    ]);

    expect(new Set(answers)).toEqual(new Set(["TOKEN_REFUSED Cannot accept token: it is not known"]));
  });

  it("is not known any more once the document lacks it", async () => {
    const authority = new Authority({ operators: parseOperators(document()), clock, log });
    await identify(authority, text);

    authority.replace(parseOperators("{}"));

    expect(await reasonOf((async () => await identify(authority, text))())).toContain("it is not known");
  });
});

describe("parseOperators()", () => {
  it.each([
    ["an unknown field", "adminKey: []", "adminKey"],
    [
      "a role that is none",
      'bindings: [{issuer: "https://i", subject: s, grants: [{roles: [ROLE_GOD], organisation: "*"}]}]',
      "ROLE_GOD",
    ],
    [
      "a grant that says not where",
      'issuers: [{url: "https://i", audiences: [a]}]\nbindings: [{issuer: "https://i", subject: s, grants: [{roles: [ROLE_VIEWER]}]}]',
      "organisation",
    ],
    ["an issuer in plain text", 'issuers: [{url: "http://issuer.example", audiences: [a]}]', "https"],
    ["an issuer without audience", 'issuers: [{url: "https://i"}]', "audiences"],
    [
      "an algorithm with a shared secret",
      'issuers: [{url: "https://i", audiences: [a], algorithms: [HS256]}]',
      "algorithms",
    ],
    [
      "a binding of an issuer that is not listed",
      'bindings: [{issuer: "https://i", subject: s, grants: [{roles: [ROLE_VIEWER], organisation: "*"}]}]',
      "not listed",
    ],
    [
      "an environment of the whole mesh",
      'issuers: [{url: "https://i", audiences: [a]}]\nbindings: [{issuer: "https://i", subject: s, grants: [{roles: [ROLE_VIEWER], organisation: "*", environment: e}]}]',
      "environment must be empty",
    ],
    ["a field twice", "issuers: []\nissuers: []", "unique"],
    ["what is no YAML", "a: [", "Cannot read operators"],
  ])("refuses %s", (_, text, state) => {
    expect(() => parseOperators(text)).toThrow(state);
  });

  it("takes an empty document for nobody", () => {
    expect(parseOperators("").adminKeys.size).toBe(0);
  });
});
