import { createHash } from "node:crypto";
import { HubError } from "../errors.js";
import { integer, type SqlRow, text, textOrNull } from "../sql/driver.js";
import { checkMetrics } from "./metrics.js";
import type { VersionDetail, VersionManifest, VersionState, VersionSummary } from "./types.js";

/** What a list shows; each column costs time in the client. */
const LISTED = [
  "model",
  "version",
  "seq",
  "state",
  "created_at",
  "manifest",
  "manifest_sha256",
  "description",
  "tags",
  "size_bytes",
  "row_version",
];

const selectVersion = (
  columns: readonly string[],
): string => `SELECT ${columns.map((column) => `v.${column}`).join(", ")},
  CASE WHEN m.active_version = v.version THEN 1 ELSE 0 END AS is_active,
  (SELECT string_agg(a.alias, ',') FROM alias a WHERE a.model = v.model AND a.version = v.version) AS aliases
  FROM version v JOIN model m ON m.name = v.model`;

/**
 * One snapshot of versions with what other tables say of them: whether active, aliases. Both databases know `string_agg`; an alias holds
 * no comma.
 */
export const SELECT_VERSION: string = selectVersion([...LISTED, "failure", "deleted_at"]);
/** The same for {@link toSummary}. */
export const SELECT_SUMMARY: string = selectVersion(LISTED);

function readManifest(row: SqlRow): VersionManifest | null {
  const stored = text(row, "manifest");
  if (createHash("sha256").update(stored).digest("hex") !== text(row, "manifest_sha256")) return null;
  return JSON.parse(stored) as VersionManifest;
}

function summary(row: SqlRow, manifest: VersionManifest | null): VersionSummary {
  // A damaged manifest proves nothing, so nothing is claimed from it.
  const metrics = manifest?.metrics ?? checkMetrics({});
  const aliases = textOrNull(row, "aliases");
  return {
    model: text(row, "model"),
    version: text(row, "version"),
    seq: integer(row, "seq"),
    state: manifest === null ? "failed" : (text(row, "state") as VersionState),
    created_at: text(row, "created_at"),
    is_active: integer(row, "is_active") === 1,
    metrics,
    training_samples: metrics.training_samples,
    training_time: metrics.training_time,
    dataset: manifest?.dataset.id ?? null,
    description: text(row, "description"),
    tags: JSON.parse(text(row, "tags")) as string[],
    aliases: aliases === null ? [] : aliases.split(",").sort(),
    size_bytes: integer(row, "size_bytes"),
    row_version: integer(row, "row_version"),
  };
}

/** A row for a list; a damaged one is shown as `failed` and without metrics, so that one bad row does not hide the others. */
export const toSummary = (row: SqlRow): VersionSummary => summary(row, readManifest(row));

/** @throws {@link HubError} INTEGRITY when the manifest does not match its SHA-256 */
export function toDetail(row: SqlRow): VersionDetail {
  const manifest = readManifest(row);
  if (manifest === null) {
    throw new HubError({
      code: "INTEGRITY",
      message: `The manifest of ${text(row, "model")} ${text(row, "version")} does not match its SHA-256: the database was changed by hand or is damaged. Restore it from a backup.`,
      details: { model: text(row, "model"), version: text(row, "version") },
    });
  }
  return {
    ...summary(row, manifest),
    manifest,
    manifest_sha256: text(row, "manifest_sha256"),
    files: manifest.files,
    deleted_at: textOrNull(row, "deleted_at"),
    failure: textOrNull(row, "failure"),
  };
}
