import { createLocalJWKSet, exportJWK, generateKeyPair, SignJWT } from "jose";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { JwtVerifier } from "../src/tokens/jwt-verifier.js";
import { temporaryDirectory } from "./databases.js";
import { openApp, type TestHub } from "./open-app.js";

const START = Date.UTC(2026, 10, 27, 12);

describe("who may call", () => {
  const directory = temporaryDirectory();
  let hub: TestHub;
  let now: number;
  let sign: (claims: Record<string, unknown>, options?: { audience?: string; expiresS?: number }) => Promise<string>;
  beforeEach(async () => {
    now = START;
    const { publicKey, privateKey } = await generateKeyPair("ES256");
    const jwks = createLocalJWKSet({ keys: [{ ...(await exportJWK(publicKey)), kid: "k1", alg: "ES256" }] });
    const jwt = new JwtVerifier({ jwks, issuer: "https://id.example", audience: "seg-hub", now: () => now });
    sign = (claims, { audience = "seg-hub", expiresS = 3600 } = {}) =>
      new SignJWT(claims)
        .setProtectedHeader({ alg: "ES256", kid: "k1" })
        .setSubject("u-1")
        .setIssuer("https://id.example")
        .setAudience(audience)
        .setIssuedAt(now / 1000)
        .setExpirationTime(now / 1000 + expiresS)
        .sign(privateKey);
    hub = await openApp({ root: directory.path, jwt, now: () => now });
  });
  afterEach(() => hub.close());

  const code = async (response: Response) => ((await response.json()) as { code: string }).code;
  /** A request of each route with a body that would be accepted or refused for other reasons than the caller. */
  const calls = () =>
    hub.app.routes.map(({ method, path, access, body }) => ({
      access,
      method: method.toUpperCase(),
      path: path.replace("{version}", "v20250101_000000").replace(/\{\w+\}/, "nothing"),
      json: body === undefined ? undefined : {},
    }));

  test("covers every route that the document has", () => {
    const documented = Object.values(hub.app.openapi.paths).flatMap((methods) => Object.keys(methods)).length;
    // The four pages are no part of the API.
    expect(calls()).toHaveLength(documented + 4);
    expect(new Set(calls().map(({ access }) => access))).toEqual(new Set(["open", "user", "admin"]));
  });

  test("every route x no token, no such token, revoked, expired, other key, other audience: 401 and nothing happens", async () => {
    const revoked = await hub.tokens.create({ name: "old", role: "admin" });
    await hub.tokens.revoke(revoked.id);
    const expiring = await hub.tokens.create({
      name: "soon",
      role: "admin",
      expires_at: new Date(now + 1000).toISOString(),
    });
    const shortJwt = await sign({ role: "admin" }, { expiresS: 60 });
    now += 3600_000;
    const refused: Record<string, string | null> = {
      "no token": null,
      unknown: `segh_${"A".repeat(43)}`,
      revoked: revoked.token,
      "expired token": expiring.token,
      "expired JWT": shortJwt,
      "other audience": await sign({ role: "admin" }, { audience: "elsewhere" }),
      "no role": await sign({}),
      "no JWT": "a.b.c",
    };
    for (const call of calls().filter(({ access }) => access !== "open")) {
      for (const [name, token] of Object.entries(refused)) {
        const response = await hub.call(call.method, call.path, { token, json: call.json });
        expect(`${call.method} ${call.path} ${name} ${response.status} ${await code(response)}`).toBe(
          `${call.method} ${call.path} ${name} 401 UNAUTHENTICATED`,
        );
        expect(response.headers.get("www-authenticate")).toContain("Bearer");
      }
    }
    expect(await hub.tokens.list()).toHaveLength(4);
    expect((await hub.jobs.list()).total).toBe(0);
  });

  test("every route x role user: admin routes are 403, the others are let in", async () => {
    for (const token of [hub.user, await sign({ role: "user" })]) {
      for (const call of calls().filter(({ access }) => access !== "open")) {
        const { status } = await hub.call(call.method, call.path, { token, json: call.json });
        if (call.access === "admin")
          expect(`${call.method} ${call.path} ${status}`).toBe(`${call.method} ${call.path} 403`);
        else expect(`${call.method} ${call.path} ${status}`).toMatch(/ (200|400|404|409)$/);
      }
    }
    expect((await hub.jobs.list()).total).toBe(0);
  });

  test("every route x role admin: none is refused for the caller", async () => {
    for (const token of [hub.admin, await sign({ role: ["editor", "admin"] })]) {
      for (const call of calls()) {
        const { status } = await hub.call(call.method, call.path, { token, json: call.json });
        expect([401, 403, 429, 500]).not.toContain(status);
      }
    }
    expect(hub.faults).toEqual([]);
  });

  test("open pages need no token and hold no data", async () => {
    for (const path of ["/healthz", "/docs", "/openapi.json", "/dashboard"]) {
      expect((await hub.call("GET", path, { token: null })).status).toBe(200);
    }
    expect(await (await hub.call("GET", "/healthz", { token: null })).json()).toEqual({ status: "ok" });
  });

  test("unknown paths tell nothing to strangers and 404 to others", async () => {
    expect((await hub.call("GET", "/etc/passwd", { token: null })).status).toBe(401);
    const response = await hub.call("GET", "/model/nothing");
    expect(response.status).toBe(404);
    expect(await code(response)).toBe("NOT_FOUND");
    expect((await hub.call("PUT", "/model/active")).status).toBe(404);
  });

  test("other schemes than Bearer are refused", async () => {
    for (const authorization of ["Basic YTpi", "Bearer", "Bearer a b", `bearer  ${hub.admin} x`]) {
      const response = await hub.call("GET", "/model/versions", { token: null, headers: { authorization } });
      expect(response.status).toBe(401);
    }
    const lower = await hub.call("GET", "/model/versions", {
      token: null,
      headers: { authorization: `bearer ${hub.admin}` },
    });
    expect(lower.status).toBe(200);
  });

  test("a revoked token is refused by the next request", async () => {
    const { id } = (await hub.tokens.list()).find(({ name }) => name === "ulla")!;
    expect((await hub.call("GET", "/model/versions", { token: hub.user })).status).toBe(200);
    expect((await hub.call("DELETE", `/tokens/${id}`)).status).toBe(200);
    expect((await hub.call("GET", "/model/versions", { token: hub.user })).status).toBe(401);
  });

  test("a token's secret is in the answer that made it and nowhere else", async () => {
    const created = await hub.call("POST", "/tokens", { json: { name: "line 3", role: "user" } });
    expect(created.status).toBe(201);
    const { token, id } = (await created.json()) as { token: string; id: string };
    expect(token).toMatch(/^segh_[\w-]{43}$/);
    expect(await (await hub.call("GET", "/tokens")).text()).not.toContain(token);
    expect((await hub.call("GET", "/me", { token })).status).toBe(200);
    expect(JSON.stringify(hub.audit)).not.toContain(token);
    expect(hub.audit.at(-1)).toMatchObject({ action: "createToken", target: id, actor_name: "ana", status: 201 });
  });

  test("a token that would already be expired is refused", async () => {
    const response = await hub.call("POST", "/tokens", {
      json: { name: "late", role: "user", expires_at: "2020-01-01T00:00:00Z" },
    });
    expect(response.status).toBe(400);
    expect(await hub.tokens.list()).toHaveLength(2);
  });
});

describe("limits of requests", () => {
  const directory = temporaryDirectory();
  let hub: TestHub;
  let now: number;
  beforeEach(async () => {
    now = START;
    hub = await openApp({
      root: directory.path,
      now: () => now,
      deps: { limits: { requestsPerMinute: 120, failedAuthsPerMinute: 20 }, trustedProxies: 1 },
    });
  });
  afterEach(() => hub.close());
  const get = (token: string | null, ip = "10.0.0.1") =>
    hub.call("GET", "/me", { token, headers: { "x-forwarded-for": `6.6.6.6, ${ip}` } });

  test("120 a minute per token, then 429 with Retry-After, then again", async () => {
    for (let i = 0; i < 120; i++) expect((await get(hub.user)).status).toBe(200);
    now += 20_000;
    const refused = await get(hub.user);
    expect(refused.status).toBe(429);
    expect(refused.headers.get("retry-after")).toBe("40");
    // Another token is another count, from the same address.
    expect((await get(hub.admin)).status).toBe(200);
    now += 40_000;
    expect((await get(hub.user)).status).toBe(200);
  });

  test("never more than 120 in any minute, also across its turn", async () => {
    now += 59_000;
    for (let i = 0; i < 120; i++) await get(hub.user);
    now += 2_000;
    expect((await get(hub.user)).status).toBe(429);
  });

  test("20 refused credentials a minute per address, then 429 even for guesses that would be right", async () => {
    for (let i = 0; i < 20; i++) expect((await get(`segh_${i}`)).status).toBe(401);
    const refused = await get("segh_x");
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get("retry-after"))).toBe(60);
    expect((await get(hub.user)).status).toBe(429);
    // Another address is not affected, nor is this one a minute later.
    expect((await get(hub.user, "10.0.0.2")).status).toBe(200);
    now += 60_001;
    expect((await get(hub.user)).status).toBe(200);
  });

  test("somebody else's guesses from one address do not lock out who was signed in", async () => {
    expect((await get(hub.user)).status).toBe(200);
    for (let i = 0; i < 30; i++) await get(`segh_${i}`);
    expect((await get(hub.user)).status).toBe(200);
    expect((await get(hub.admin)).status).toBe(429);
  });

  test("the client's own X-Forwarded-For is not believed", async () => {
    const spoof = (i: number) =>
      hub.call("GET", "/me", { token: "segh_no", headers: { "x-forwarded-for": `1.1.1.${i}, 10.0.0.9` } });
    for (let i = 0; i < 20; i++) await spoof(i);
    expect((await spoof(99)).status).toBe(429);
  });

  test("refused attempts and changes are in the audit log, without secrets", async () => {
    await get("segh_secret-guess");
    await hub.call("POST", "/model/activate", { json: { version: "v20250101_000000", reason: "why" } });
    expect(hub.audit.map(({ action, status, code, ip }) => ({ action, status, code, ip }))).toEqual([
      { action: "whoAmI", status: 401, code: "UNAUTHENTICATED", ip: "10.0.0.1" },
      { action: "activate", status: 404, code: "NOT_FOUND", ip: "unknown" },
    ]);
    expect(hub.audit[1]).toMatchObject({ actor_name: "ana", role: "admin", target: "v20250101_000000" });
    expect(JSON.stringify(hub.audit)).not.toContain("secret-guess");
  });
});
