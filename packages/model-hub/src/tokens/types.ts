/** `user` reads and asks the advisor; `admin` does everything. */
export type Role = "user" | "admin";

/** A row of `GET /tokens`; the secret is never stored. */
export interface TokenRecord {
  readonly id: string;
  readonly name: string;
  readonly role: Role;
  readonly created_at: string;
  readonly created_by: string | null;
  readonly expires_at: string | null;
  readonly revoked_at: string | null;
  readonly last_used_at: string | null;
}

/** Answer of `POST /tokens`: the secret is shown this once. */
export interface CreatedToken extends TokenRecord {
  /** `segh_` + 32 random bytes, base64url. */
  readonly token: string;
}

/** Who a request acts for. */
export interface Principal {
  /** Token id, JWT subject or `bootstrap`. */
  readonly id: string;
  readonly name: string;
  readonly role: Role;
  readonly kind: "token" | "jwt" | "bootstrap";
}

/** Creates, checks and revokes tokens. Secrets are kept as SHA-256 only. */
export interface TokenStorePort {
  create(input: {
    name: string;
    role: Role;
    expires_at?: string | null;
    created_by?: string | null;
  }): Promise<CreatedToken>;
  list(): Promise<readonly TokenRecord[]>;
  /** @throws HubError NOT_FOUND */
  revoke(id: string): Promise<TokenRecord>;
  /** Null when unknown, expired or revoked; compared in constant time, `last_used_at` noted at most once a minute. */
  verify(secret: string): Promise<Principal | null>;
  /** How many tokens with role admin are usable: none means that the first start prints one. */
  countUsableAdmins(): Promise<number>;
}

/** Tokens of the store, `SEG_HUB_ADMIN_TOKEN` and JWTs behind one call. */
export interface AuthenticatorPort {
  /** @throws HubError UNAUTHENTICATED */
  authenticate(bearer: string): Promise<Principal>;
}
