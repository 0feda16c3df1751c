import { HubError } from "../errors.js";
import { integer, type SqlReader, type SqlRow, type SqlTransaction, textOrNull } from "../sql/driver.js";
import type { VersionDetail } from "./types.js";
import { SELECT_VERSION, toDetail } from "./version-row.js";

/** The counters and the active pointer of a model; whoever holds this row is the model's only writer. */
export interface ModelRow {
  readonly name: string;
  readonly versionSeq: number;
  readonly lastVersionMs: number;
  readonly activeVersion: string | null;
  /** Number of rows of its history; the newest is the top of the stack. */
  readonly activationSeq: number;
}

const toModelRow = (name: string, row: SqlRow): ModelRow => ({
  name,
  versionSeq: integer(row, "version_seq"),
  lastVersionMs: integer(row, "last_version_ms"),
  activeVersion: textOrNull(row, "active_version"),
  activationSeq: integer(row, "activation_seq"),
});

/** Locks the model's row until the transaction ends, making it when absent and `create` is set. */
export async function lockModel(
  tx: SqlTransaction,
  name: string,
  create: { at: string } | null = null,
): Promise<ModelRow> {
  if (create !== null) {
    await tx.run(
      "INSERT INTO model (name, version_seq, last_version_ms, activation_seq, created_at) VALUES (?, 0, 0, 0, ?) ON CONFLICT (name) DO NOTHING",
      [name, create.at],
    );
  }
  const [row] = await tx.all(`SELECT * FROM model WHERE name = ?${tx.forUpdate}`, [name]);
  // A model without versions has no row, and nothing to lock: every change needs a version.
  if (row === undefined) return { name, versionSeq: 0, lastVersionMs: 0, activeVersion: null, activationSeq: 0 };
  return toModelRow(name, row);
}

/**
 * The version of that name or alias, not a deleted one.
 * @throws {@link HubError} NOT_FOUND, INTEGRITY
 */
export async function readVersion(reader: SqlReader, model: string, name: string): Promise<VersionDetail> {
  const [row] = await reader.all(
    `${SELECT_VERSION} WHERE v.model = ? AND v.state <> 'deleted'
      AND v.version = COALESCE((SELECT a.version FROM alias a WHERE a.model = ? AND a.alias = ?), ?)`,
    [model, model, name, name],
  );
  if (row === undefined) {
    throw new HubError({
      code: "NOT_FOUND",
      message: `Model ${JSON.stringify(model)} has no version or alias ${JSON.stringify(name)}. GET /model/versions and seg-hub registry list tell which there are.`,
      details: { model, version: name },
    });
  }
  return toDetail(row);
}
