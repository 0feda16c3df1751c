import { HubError } from "../errors.js";
import type { JwtVerifier } from "./jwt-verifier.js";
import { equalInConstantTime, TOKEN_PREFIX } from "./token-store.js";
import type { AuthenticatorPort, Principal, TokenStorePort } from "./types.js";

/** A shorter one could be guessed. */
const MIN_ADMIN_TOKEN_LENGTH = 32;

/** Tries, in this order: the administrator's token from the environment, tokens of the store, JWTs. */
export class Authenticator implements AuthenticatorPort {
  readonly #tokens: TokenStorePort;
  readonly #adminToken: string | null;
  readonly #jwt: JwtVerifier | null;

  /**
   * @param adminToken - `SEG_HUB_ADMIN_TOKEN`, at least 32 characters
   * @throws {@link HubError} INVALID_REQUEST when it is shorter
   */
  constructor({
    tokens,
    adminToken = null,
    jwt = null,
  }: { tokens: TokenStorePort; adminToken?: string | null; jwt?: JwtVerifier | null }) {
    if (adminToken !== null && adminToken.length < MIN_ADMIN_TOKEN_LENGTH) {
      throw new HubError({
        code: "INVALID_REQUEST",
        message: `SEG_HUB_ADMIN_TOKEN has ${adminToken.length} characters, at least ${MIN_ADMIN_TOKEN_LENGTH} are needed. Make one with: openssl rand -hex 32`,
      });
    }
    this.#tokens = tokens;
    this.#adminToken = adminToken;
    this.#jwt = jwt;
  }

  async authenticate(bearer: string): Promise<Principal> {
    if (this.#adminToken !== null && equalInConstantTime(bearer, this.#adminToken)) {
      return { id: "bootstrap", name: "SEG_HUB_ADMIN_TOKEN", role: "admin", kind: "bootstrap" };
    }
    const principal = bearer.startsWith(TOKEN_PREFIX)
      ? await this.#tokens.verify(bearer)
      : ((await this.#jwt?.verify(bearer)) ?? null);
    if (principal !== null) return principal;
    throw new HubError({
      code: "UNAUTHENTICATED",
      // One message for unknown, expired and revoked: the difference would help only who guesses.
      message: "The token is unknown, has expired or was revoked. Send Authorization: Bearer with a valid one.",
    });
  }
}
