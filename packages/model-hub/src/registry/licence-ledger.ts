import { integer, type SqlDriver, type SqlRow, text, textOrNull } from "../sql/driver.js";
import type { LicenceEntry, LicenceLedgerPort } from "./types.js";

/** Who installed which bytes under which licence: append-only. */
export class LicenceLedger implements LicenceLedgerPort {
  readonly #sql: SqlDriver;
  readonly #now: () => number;

  constructor({ sql, now = Date.now }: { sql: SqlDriver; now?: () => number }) {
    this.#sql = sql;
    this.#now = now;
  }

  async append({ id, sha256, licence, accepted_by }: Omit<LicenceEntry, "seq" | "at">): Promise<LicenceEntry> {
    const [row] = await this.#sql.write((tx) =>
      tx.all("INSERT INTO licence_ledger (id, sha256, licence, accepted_by, at) VALUES (?, ?, ?, ?, ?) RETURNING *", [
        id,
        sha256.toLowerCase(),
        licence,
        accepted_by,
        new Date(this.#now()).toISOString(),
      ]),
    );
    return toEntry(row!);
  }

  /** Newest first. */
  async list({ id, limit = 100 }: { id?: string; limit?: number } = {}): Promise<readonly LicenceEntry[]> {
    const rows = await this.#sql.all(
      `SELECT * FROM licence_ledger${id === undefined ? "" : " WHERE id = ?"} ORDER BY seq DESC LIMIT ?`,
      [...(id === undefined ? [] : [id]), limit],
    );
    return rows.map(toEntry);
  }
}

const toEntry = (row: SqlRow): LicenceEntry => ({
  seq: integer(row, "seq"),
  id: text(row, "id"),
  sha256: text(row, "sha256"),
  licence: text(row, "licence"),
  accepted_by: textOrNull(row, "accepted_by"),
  at: text(row, "at"),
});
