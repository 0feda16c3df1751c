import { createLocalJWKSet, exportJWK, generateKeyPair, SignJWT } from "jose";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { describeDatabases } from "../../test/databases.js";
import type { SqlDriver } from "../sql/driver.js";
import { Authenticator } from "./authenticator.js";
import { JwtVerifier } from "./jwt-verifier.js";
import { equalInConstantTime, TokenStore } from "./token-store.js";

const START = Date.UTC(2026, 0, 1);

test("equalInConstantTime tells equal from different, whatever the length", () => {
  expect(equalInConstantTime("abc", "abc")).toBe(true);
  expect(equalInConstantTime("abc", "abd")).toBe(false);
  expect(equalInConstantTime("abc", "abcd")).toBe(false);
});

describeDatabases("TokenStore", (database) => {
  let sql: SqlDriver;
  let now: number;
  let tokens: TokenStore;
  beforeEach(async () => {
    sql = await database.open();
    now = START;
    tokens = new TokenStore({ sql, now: () => now });
  });
  afterEach(() => sql.close());

  test("shows the secret once and stores its hash alone", async () => {
    const created = await tokens.create({ name: "ci", role: "user", created_by: "ana" });
    expect(created.token).toMatch(/^segh_[A-Za-z0-9_-]{43}$/);
    const stored = JSON.stringify([await tokens.list(), await sql.all("SELECT * FROM token")]);
    expect(stored).not.toContain(created.token);
    expect(stored).not.toContain(created.token.slice(5));
    expect(await tokens.verify(created.token)).toEqual({ id: created.id, name: "ci", role: "user", kind: "token" });
    expect(await tokens.verify(`${created.token.slice(0, -1)}!`)).toBeNull();
    expect(await tokens.verify("")).toBeNull();
  });

  test("expired and revoked tokens are none", async () => {
    const short = await tokens.create({ name: "short", role: "admin", expires_at: "2026-01-01T01:00:00+00:00" });
    const long = await tokens.create({ name: "long", role: "admin" });
    expect(await tokens.countUsableAdmins()).toBe(2);
    now += 3600_000;
    expect(await tokens.verify(short.token)).toBeNull();
    expect(await tokens.countUsableAdmins()).toBe(1);
    expect((await tokens.revoke(long.id)).revoked_at).toBe("2026-01-01T01:00:00.000Z");
    now += 1000;
    expect((await tokens.revoke(long.id)).revoked_at).toBe("2026-01-01T01:00:00.000Z");
    expect(await tokens.verify(long.token)).toBeNull();
    expect(await tokens.countUsableAdmins()).toBe(0);
    await expect(tokens.revoke("nobody")).rejects.toMatchObject({ code: "NOT_FOUND" });
  });

  test("notes the last use once a minute", async () => {
    const { id, token } = await tokens.create({ name: "a", role: "user" });
    const lastUse = async () => (await tokens.list()).find((record) => record.id === id)?.last_used_at;
    expect(await lastUse()).toBeNull();
    for (const [wait, expected] of [
      [0, "2026-01-01T00:00:00.000Z"],
      [59_000, "2026-01-01T00:00:00.000Z"],
      [1000, "2026-01-01T00:01:00.000Z"],
    ] as const) {
      now += wait;
      await tokens.verify(token);
      expect(await lastUse()).toBe(expected);
    }
  });

  test("refuses bad input", async () => {
    for (const input of [
      { name: "", role: "user" },
      { name: "a", role: "root" },
      { name: "a", role: "user", expires_at: "yesterday" },
      { name: "a", role: "user", expires_at: "2020-01-01T00:00:00Z" },
    ]) {
      await expect(tokens.create(input as never)).rejects.toMatchObject({ code: "INVALID_REQUEST" });
    }
    expect(await tokens.list()).toEqual([]);
  });

  test("the administrator's token of the environment has at least 32 characters", async () => {
    expect(() => new Authenticator({ tokens, adminToken: "short" })).toThrow(
      expect.objectContaining({ code: "INVALID_REQUEST" }),
    );
    const authenticator = new Authenticator({ tokens, adminToken: "x".repeat(32) });
    expect(await authenticator.authenticate("x".repeat(32))).toMatchObject({ role: "admin", kind: "bootstrap" });
    await expect(authenticator.authenticate("x".repeat(33))).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
    const { token } = await tokens.create({ name: "u", role: "user" });
    expect(await authenticator.authenticate(token)).toMatchObject({ role: "user", name: "u" });
  });
});

describe("JwtVerifier", () => {
  let sign: (
    claims: Record<string, unknown>,
    options?: { alg?: string; kid?: string; exp?: number },
  ) => Promise<string>;
  let jwks: ReturnType<typeof createLocalJWKSet>;
  beforeAll(async () => {
    const { publicKey, privateKey } = await generateKeyPair("ES256");
    jwks = createLocalJWKSet({ keys: [{ ...(await exportJWK(publicKey)), kid: "k1", alg: "ES256" }] });
    sign = (claims, { kid = "k1", exp = START / 1000 + 60 } = {}) =>
      new SignJWT(claims)
        .setProtectedHeader({ alg: "ES256", kid })
        .setIssuer("https://id.example")
        .setAudience("hub")
        .setSubject("ana")
        .setExpirationTime(exp)
        .sign(privateKey);
  });
  const verifier = (options = {}) =>
    new JwtVerifier({ jwks, issuer: "https://id.example", audience: "hub", now: () => START, ...options });

  test("reads who and which role", async () => {
    expect(await verifier().verify(await sign({ role: "admin", name: "Ana" }))).toEqual({
      id: "ana",
      name: "Ana",
      role: "admin",
      kind: "jwt",
    });
    expect(await verifier({ roleClaim: "groups" }).verify(await sign({ groups: ["x", "user"] }))).toMatchObject({
      role: "user",
    });
  });
  test("refuses other roles, issuers, audiences, keys, algorithms, and what has expired", async () => {
    expect(await verifier().verify(await sign({ role: "root" }))).toBeNull();
    expect(await verifier().verify(await sign({}))).toBeNull();
    const good = await sign({ role: "user" });
    expect(await verifier({ issuer: "https://other" }).verify(good)).toBeNull();
    expect(await verifier({ audience: "other" }).verify(good)).toBeNull();
    expect(await verifier({ algorithms: ["RS256"] }).verify(good)).toBeNull();
    expect(await verifier().verify(await sign({ role: "user" }, { kid: "k2" }))).toBeNull();
    expect(await verifier().verify(await sign({ role: "user" }, { exp: START / 1000 - 31 }))).toBeNull();
    expect(await verifier().verify(`${good.slice(0, -4)}AAAA`)).toBeNull();
    expect(await verifier().verify("not.a.jwt")).toBeNull();
    const none = `${Buffer.from('{"alg":"none"}').toString("base64url")}.${good.split(".")[1]}.`;
    expect(await verifier().verify(none)).toBeNull();
    expect(() => verifier({ algorithms: ["HS256"] })).toThrow(expect.objectContaining({ code: "INVALID_REQUEST" }));
  });
  test("a key set that cannot be read is not the caller's fault", async () => {
    const fetch = async () => {
      throw new Error("refused");
    };
    await expect(
      verifier({ jwks: new URL("https://id.example/jwks"), fetch }).verify(await sign({ role: "user" })),
    ).rejects.toMatchObject({ code: "SOURCE_UNAVAILABLE" });
  });
});
