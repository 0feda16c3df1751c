import { HubError } from "../errors.js";
import { integer, type SqlReader, type SqlRow, type SqlTransaction, text, textOrNull } from "../sql/driver.js";
import type { ModelRow } from "./model-row.js";
import type { ActivationKind, ActivationRecord, ActiveVersion, PolicyDecision } from "./types.js";
import { SELECT_VERSION, toDetail } from "./version-row.js";

/**
 * Appends a row to the history and moves the pointer.
 *
 * The history is a stack kept as a linked list: activating pushes (its row lies on the present top), deactivating pushes null, rolling back
 * pops (its row lies on what its target lies on). So a rollback reads only what it pops, and rows are never changed.
 */
export async function appendActivation(
  tx: SqlTransaction,
  {
    model,
    version,
    kind,
    below,
    actor,
    reason,
    at,
    decision,
  }: {
    model: ModelRow;
    version: string | null;
    kind: ActivationKind;
    below: number | null;
    actor: string | null;
    reason: string | null;
    at: string;
    decision: PolicyDecision | null;
  },
): Promise<ActivationRecord> {
  const seq = model.activationSeq + 1;
  await tx.run(
    "INSERT INTO activation (model, seq, version, previous, actor, at, reason, kind, policy_decision, below) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [
      model.name,
      seq,
      version,
      model.activeVersion,
      actor,
      at,
      reason,
      kind,
      decision === null ? null : JSON.stringify(decision),
      below,
    ],
  );
  await tx.run("UPDATE model SET active_version = ?, activation_seq = ? WHERE name = ?", [version, seq, model.name]);
  return {
    seq,
    model: model.name,
    version,
    previous: model.activeVersion,
    actor,
    at,
    reason,
    kind,
    policy_decision: decision,
  };
}

/** The row that a new one is pushed on. */
export const topOf = (model: ModelRow): number | null => (model.activationSeq === 0 ? null : model.activationSeq);

/**
 * Where a rollback leads: the nearest entry under the top that is `to`, or without `to` that is a ready version other than the active one
 * (going "back" to what is active already would change nothing).
 * @returns null when there is none
 */
export async function findRollbackTarget(
  tx: SqlTransaction,
  model: ModelRow,
  to: string | null,
): Promise<{ version: string; below: number | null } | null> {
  let at = topOf(model);
  for (let isTop = true; at !== null; isTop = false) {
    const [row]: SqlRow[] = await tx.all(
      `SELECT a.version, a.below, v.state FROM activation a
        LEFT JOIN version v ON v.model = a.model AND v.version = a.version
        WHERE a.model = ? AND a.seq = ?`,
      [model.name, at],
    );
    const version = textOrNull(row!, "version");
    const below: number | null = row!["below"] === null ? null : integer(row!, "below");
    const isReady = version !== null && text(row!, "state") === "ready";
    if (!isTop && isReady && version !== model.activeVersion && (to === null || version === to)) {
      return { version, below };
    }
    at = below;
  }
  return null;
}

/** The active version with who activated it when, one snapshot. */
export async function readActive(reader: SqlReader, model: string): Promise<ActiveVersion | null> {
  const [row] = await reader.all(
    `${SELECT_VERSION.replace("SELECT ", "SELECT c.at AS activated_at, c.actor AS activated_by, ")}
      JOIN activation c ON c.model = m.name AND c.seq = m.activation_seq
      WHERE m.name = ? AND v.version = m.active_version`,
    [model],
  );
  if (row === undefined) return null;
  return {
    ...toDetail(row),
    activated_at: text(row, "activated_at"),
    activated_by: textOrNull(row, "activated_by"),
    changed: false,
  };
}

export const toActivationRecord = (row: SqlRow): ActivationRecord => {
  const decision = textOrNull(row, "policy_decision");
  return {
    seq: integer(row, "seq"),
    model: text(row, "model"),
    version: textOrNull(row, "version"),
    previous: textOrNull(row, "previous"),
    actor: textOrNull(row, "actor"),
    at: text(row, "at"),
    reason: textOrNull(row, "reason"),
    kind: text(row, "kind") as ActivationKind,
    policy_decision: decision === null ? null : (JSON.parse(decision) as PolicyDecision),
  };
};

export const noActiveVersion = (model: string): HubError =>
  new HubError({
    code: "NO_ACTIVE_VERSION",
    message: `No version of ${JSON.stringify(model)} is active. Activate one first.`,
    details: { model },
  });
