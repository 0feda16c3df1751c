import { createRemoteJWKSet, customFetch, type JWTVerifyGetKey, jwtVerify } from "jose";
import { HubError } from "../errors.js";
import type { Principal, Role } from "./types.js";

/** Asymmetric only: with a shared secret whoever verifies could also sign. */
const ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"] as const;

/** Which issuer's tokens are accepted, and for whom. */
export interface JwtOptions {
  /** Address of the key set, or the keys themselves. */
  readonly jwks: URL | JWTVerifyGetKey;
  readonly issuer: string;
  readonly audience: string;
  /** A subset of the supported ones. @defaultValue all of them */
  readonly algorithms?: readonly (typeof ALGORITHMS)[number][];
  /** Claim with the role: `admin`, `user`, or a list that holds one of them. @defaultValue "role" */
  readonly roleClaim?: string;
  /** Clocks may differ by this. @defaultValue 30 */
  readonly clockToleranceS?: number;
  readonly fetch?: typeof globalThis.fetch;
  readonly now?: () => number;
}

/** JSON Web Tokens of another service: signature by its key set, `iss`, `aud` and `exp` checked, role from a claim. */
export class JwtVerifier {
  readonly #key: JWTVerifyGetKey;
  readonly #options: JwtOptions;

  constructor(options: JwtOptions) {
    for (const algorithm of options.algorithms ?? []) {
      if (ALGORITHMS.includes(algorithm)) continue;
      throw new HubError({
        code: "INVALID_REQUEST",
        message: `JWT algorithm ${algorithm} is not allowed. Use one of ${ALGORITHMS.join(", ")}.`,
        details: { algorithm },
      });
    }
    this.#options = options;
    this.#key =
      options.jwks instanceof URL
        ? createRemoteJWKSet(options.jwks, options.fetch === undefined ? {} : { [customFetch]: options.fetch as never })
        : options.jwks;
  }

  /** Null when the token is not valid or names no known role. */
  async verify(token: string): Promise<Principal | null> {
    const { issuer, audience, algorithms = ALGORITHMS, roleClaim = "role", clockToleranceS = 30, now } = this.#options;
    try {
      const { payload } = await jwtVerify(token, this.#key, {
        issuer,
        audience,
        algorithms: [...algorithms],
        requiredClaims: ["exp", "sub"],
        clockTolerance: clockToleranceS,
        ...(now === undefined ? {} : { currentDate: new Date(now()) }),
      });
      const role = roleOf(payload[roleClaim]);
      if (role === null) return null;
      const name = payload["name"];
      return { id: payload.sub!, name: typeof name === "string" ? name : payload.sub!, role, kind: "jwt" };
    } catch (error) {
      const { code } = error as { code?: unknown };
      // jose names what is wrong with a token ERR_J...; the key set's server not answering is another matter.
      if (typeof code === "string" && /^ERR_J(WT|WS|OSE)/.test(code)) return null;
      if (code === "ERR_JWKS_NO_MATCHING_KEY" || code === "ERR_JWKS_MULTIPLE_MATCHING_KEYS") return null;
      throw new HubError({
        code: "SOURCE_UNAVAILABLE",
        message: "The key set that verifies tokens could not be read. Try again, or use a token of this hub.",
        cause: error,
      });
    }
  }
}

function roleOf(claim: unknown): Role | null {
  const roles = Array.isArray(claim) ? claim : [claim];
  if (roles.includes("admin")) return "admin";
  return roles.includes("user") ? "user" : null;
}
