import { createHash } from "node:crypto";
import { HubError } from "../errors.js";
import type { SqlTransaction } from "../sql/driver.js";
import { text } from "../sql/driver.js";
import { canonicalJson, canonicalSha256 } from "./canonical-json.js";
import { lockModel, readVersion } from "./model-row.js";
import type { ParsedRegister } from "./parse.js";
import type { VersionDetail, VersionFile, VersionManifest, VersionMetrics } from "./types.js";
import { nextVersionMs, versionName } from "./version-name.js";

/** How long a key answers with the version it made. */
const IDEMPOTENCY_MS = 24 * 3600 * 1000;

/** A registration with its files hashed and its metrics checked. */
export interface PreparedVersion {
  readonly input: ParsedRegister;
  readonly files: readonly VersionFile[];
  readonly metrics: VersionMetrics;
  /** Whether every blob is in the store. */
  readonly complete: boolean;
}

/** SHA-256 of everything that the caller decided. */
const bodySha256 = ({ input, files, metrics }: PreparedVersion): string =>
  canonicalSha256({ ...input, files, metrics });

/**
 * Names and inserts one version.
 * @returns `isNew` false when the idempotency key or the run made it before
 * @throws {@link HubError} IDEMPOTENCY_MISMATCH, CONFLICT
 */
export async function insertVersion(
  tx: SqlTransaction,
  prepared: PreparedVersion,
  { nowMs, idempotencyKey }: { nowMs: number; idempotencyKey?: string | undefined },
): Promise<{ version: VersionDetail; isNew: boolean }> {
  const { input, files, metrics } = prepared;
  const body = bodySha256(prepared);
  const createdAt = new Date(nowMs).toISOString();
  const model = await lockModel(tx, input.model, { at: createdAt });
  const ms = nextVersionMs(nowMs, model.lastVersionMs);
  const version = versionName(ms);

  if (idempotencyKey !== undefined) {
    const earlier = await takeIdempotencyKey(tx, { key: idempotencyKey, body, model: input.model, version, nowMs });
    if (earlier !== null) return { version: await readVersion(tx, earlier.model, earlier.version), isNew: false };
  }
  if (input.run_id != null) {
    const [row] = await tx.all("SELECT version, state, body_sha256 FROM version WHERE model = ? AND run_id = ?", [
      input.model,
      input.run_id,
    ]);
    if (row !== undefined) {
      const existing = text(row, "version");
      if (text(row, "body_sha256") === body && text(row, "state") !== "deleted") {
        return { version: await readVersion(tx, input.model, existing), isNew: false };
      }
      throw new HubError({
        code: "CONFLICT",
        message: `Run ${input.run_id} registered ${input.model} ${existing} before. A run makes one version; give another run_id.`,
        details: { run_id: input.run_id, version: existing },
      });
    }
  }

  const seq = model.versionSeq + 1;
  const manifest: VersionManifest = {
    schema: 1,
    model: input.model,
    version,
    seq,
    created_at: createdAt,
    created_by: input.created_by ?? null,
    run_id: input.run_id ?? null,
    files,
    metrics,
    metric_definition_id: input.metric_definition_id ?? null,
    dataset: {
      id: input.dataset.id ?? null,
      fingerprint: input.dataset.fingerprint ?? null,
      split_hash: input.dataset.split_hash ?? null,
    },
    parents: {
      teacher: input.parents.teacher ?? null,
      adapter: input.parents.adapter ?? null,
      base: input.parents.base ?? null,
    },
    params: input.params as VersionManifest["params"],
    env: input.env as VersionManifest["env"],
    code_commit: input.code_commit ?? null,
  };
  const stored = canonicalJson(manifest);
  await tx.run("UPDATE model SET version_seq = ?, last_version_ms = ? WHERE name = ?", [seq, ms, input.model]);
  await tx.run(
    `INSERT INTO version (model, version, seq, state, created_at, run_id, body_sha256, manifest, manifest_sha256,
      parent_teacher, parent_adapter, parent_base, size_bytes, description, tags, row_version)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)`,
    [
      input.model,
      version,
      seq,
      prepared.complete ? "ready" : "pending",
      createdAt,
      manifest.run_id,
      body,
      stored,
      createHash("sha256").update(stored).digest("hex"),
      manifest.parents.teacher,
      manifest.parents.adapter,
      manifest.parents.base,
      files.reduce((sum, { bytes }) => sum + bytes, 0),
      input.description,
      JSON.stringify(input.tags),
    ],
  );
  for (const { path, sha256, md5, bytes } of files) {
    await tx.run("INSERT INTO version_file (model, version, path, sha256, md5, bytes) VALUES (?, ?, ?, ?, ?, ?)", [
      input.model,
      version,
      path,
      sha256,
      md5,
      bytes,
    ]);
  }
  await setAliases(tx, { model: input.model, version, aliases: input.aliases });
  return { version: await readVersion(tx, input.model, version), isNew: true };
}

async function takeIdempotencyKey(
  tx: SqlTransaction,
  { key, body, model, version, nowMs }: { key: string; body: string; model: string; version: string; nowMs: number },
): Promise<{ model: string; version: string } | null> {
  await tx.run("DELETE FROM idempotency WHERE created_ms < ?", [nowMs - IDEMPOTENCY_MS]);
  const inserted = await tx.run(
    "INSERT INTO idempotency (idempotency_key, body_sha256, model, version, created_ms) VALUES (?, ?, ?, ?, ?) ON CONFLICT (idempotency_key) DO NOTHING",
    [key, body, model, version, nowMs],
  );
  if (inserted > 0) return null;
  const [row] = await tx.all("SELECT body_sha256, model, version FROM idempotency WHERE idempotency_key = ?", [key]);
  if (text(row!, "body_sha256") !== body) {
    throw new HubError({
      code: "IDEMPOTENCY_MISMATCH",
      message: `Idempotency key ${JSON.stringify(key)} was used for another registration in the last 24 hours. Use a new key.`,
      details: { version: text(row!, "version") },
    });
  }
  return { model: text(row!, "model"), version: text(row!, "version") };
}

/** Replaces the aliases of a version. @throws {@link HubError} CONFLICT when another version has one */
export async function setAliases(
  tx: SqlTransaction,
  { model, version, aliases }: { model: string; version: string; aliases: readonly string[] },
): Promise<void> {
  await tx.run("DELETE FROM alias WHERE model = ? AND version = ?", [model, version]);
  for (const alias of aliases) {
    const inserted = await tx.run(
      "INSERT INTO alias (model, alias, version) VALUES (?, ?, ?) ON CONFLICT (model, alias) DO NOTHING",
      [model, alias, version],
    );
    if (inserted > 0) continue;
    const [row] = await tx.all("SELECT version FROM alias WHERE model = ? AND alias = ?", [model, alias]);
    throw new HubError({
      code: "CONFLICT",
      message: `Alias ${alias} of ${model} belongs to ${text(row!, "version")}. Take it off there first.`,
      details: { alias, version: text(row!, "version") },
    });
  }
}
