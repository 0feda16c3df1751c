import { createHash, randomBytes, randomUUID, timingSafeEqual } from "node:crypto";
import { z } from "zod";
import { HubError } from "../errors.js";
import { parseOrThrow } from "../registry/parse.js";
import { integer, type SqlDriver, type SqlRow, text, textOrNull } from "../sql/driver.js";
import type { CreatedToken, Principal, Role, TokenRecord, TokenStorePort } from "./types.js";

/** Names the kind of secret to people and to secret scanners. */
export const TOKEN_PREFIX = "segh_";
const SECRET_BYTES = 32;
/** Not every request is a write. */
const LAST_USE_MS = 60_000;

const createInput = z.strictObject({
  name: z.string().min(1).max(128),
  role: z.enum(["user", "admin"]),
  expires_at: z.iso.datetime({ offset: true }).nullable().optional(),
  created_by: z.string().max(256).nullable().optional(),
});

/** Lower-case hex. A token has 256 random bits, so one round of a fast hash is as good as a slow one. */
const sha256 = (secret: string): string => createHash("sha256").update(secret).digest("hex");

/** Bearer tokens, of which only the SHA-256 is kept. */
export class TokenStore implements TokenStorePort {
  readonly #sql: SqlDriver;
  readonly #now: () => number;

  constructor({ sql, now = Date.now }: { sql: SqlDriver; now?: () => number }) {
    this.#sql = sql;
    this.#now = now;
  }

  async create(input: {
    name: string;
    role: Role;
    expires_at?: string | null;
    created_by?: string | null;
  }): Promise<CreatedToken> {
    const { name, role, expires_at, created_by } = parseOrThrow(createInput, input, "The token");
    const expires = expires_at == null ? null : new Date(expires_at).toISOString();
    if (expires !== null && Date.parse(expires) <= this.#now()) {
      throw new HubError({
        code: "INVALID_REQUEST",
        message: `The token would expire at ${expires}, which has passed.`,
        details: { errors: [{ path: "expires_at", message: "lies in the past" }] },
      });
    }
    const token = TOKEN_PREFIX + randomBytes(SECRET_BYTES).toString("base64url");
    const record: TokenRecord = {
      id: randomUUID(),
      name,
      role,
      created_at: new Date(this.#now()).toISOString(),
      created_by: created_by ?? null,
      expires_at: expires,
      revoked_at: null,
      last_used_at: null,
    };
    await this.#sql.write((tx) =>
      tx.run(
        "INSERT INTO token (id, name, role, secret_sha256, created_at, created_by, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [record.id, name, role, sha256(token), record.created_at, record.created_by, expires],
      ),
    );
    return { ...record, token };
  }

  async list(): Promise<readonly TokenRecord[]> {
    return (await this.#sql.all("SELECT * FROM token ORDER BY created_at, id")).map(toRecord);
  }

  /** A revoked token stays revoked; revoking it again changes nothing. */
  async revoke(id: string): Promise<TokenRecord> {
    const [row] = await this.#sql.write(async (tx) => {
      await tx.run("UPDATE token SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL", [
        new Date(this.#now()).toISOString(),
        id,
      ]);
      return tx.all("SELECT * FROM token WHERE id = ?", [id]);
    });
    if (row === undefined) {
      throw new HubError({ code: "NOT_FOUND", message: `There is no token ${JSON.stringify(id)}.`, details: { id } });
    }
    return toRecord(row);
  }

  async verify(secret: string): Promise<Principal | null> {
    if (!secret.startsWith(TOKEN_PREFIX)) return null;
    const digest = sha256(secret);
    const [row] = await this.#sql.all("SELECT * FROM token WHERE secret_sha256 = ?", [digest]);
    // The index compares digests, of which an attacker controls no prefix; the last word is in constant time all the same.
    if (row === undefined || !equalInConstantTime(text(row, "secret_sha256"), digest)) return null;
    const record = toRecord(row);
    const nowMs = this.#now();
    if (record.revoked_at !== null) return null;
    if (record.expires_at !== null && Date.parse(record.expires_at) <= nowMs) return null;
    if (record.last_used_at === null || nowMs - Date.parse(record.last_used_at) >= LAST_USE_MS) {
      await this.#sql.write((tx) =>
        tx.run("UPDATE token SET last_used_at = ? WHERE id = ?", [new Date(nowMs).toISOString(), record.id]),
      );
    }
    return { id: record.id, name: record.name, role: record.role, kind: "token" };
  }

  async countUsableAdmins(): Promise<number> {
    const [row] = await this.#sql.all(
      "SELECT COUNT(*) AS n FROM token WHERE role = 'admin' AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?)",
      [new Date(this.#now()).toISOString()],
    );
    return integer(row!, "n");
  }
}

/** Whether two texts are equal, in a time that does not tell where they differ. */
export function equalInConstantTime(a: string, b: string): boolean {
  const [left, right] = [a, b].map((value) => createHash("sha256").update(value).digest());
  return timingSafeEqual(left!, right!);
}

const toRecord = (row: SqlRow): TokenRecord => ({
  id: text(row, "id"),
  name: text(row, "name"),
  role: text(row, "role") as Role,
  created_at: text(row, "created_at"),
  created_by: textOrNull(row, "created_by"),
  expires_at: textOrNull(row, "expires_at"),
  revoked_at: textOrNull(row, "revoked_at"),
  last_used_at: textOrNull(row, "last_used_at"),
});
