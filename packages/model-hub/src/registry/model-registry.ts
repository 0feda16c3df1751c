import { HubError } from "../errors.js";
import { type HubClock, systemClock } from "../internal/clock.js";
import { integer, type SqlDriver, type SqlTransaction, text } from "../sql/driver.js";
import type { HubEvents } from "../webhooks/hub-events.js";
import {
  appendActivation,
  findRollbackTarget,
  noActiveVersion,
  readActive,
  toActivationRecord,
  topOf,
} from "./activation.js";
import { type BlobStore, blobKey, manifestKey } from "./blob-store.js";
import { canonicalJson } from "./canonical-json.js";
import { compareVersions, decide } from "./compare.js";
import { DerivedFiles } from "./derived-files.js";
import { insertVersion, setAliases } from "./insert-version.js";
import { checkMetrics } from "./metrics.js";
import { lockModel, readVersion } from "./model-row.js";
import { modelName, parseCursor, parseLimit, parseOrThrow, registerInput, versionPatch, writeCursor } from "./parse.js";
import { repairRegistry } from "./repair.js";
import { digest, storeFiles } from "./store-files.js";
import type {
  ActivationPolicy,
  ActivationRecord,
  ActiveVersion,
  ActOptions,
  HistoryPage,
  HubEvent,
  ListOptions,
  ModelOption,
  ModelRegistryPort,
  PolicyDecision,
  RegisterInput,
  RepairReport,
  VersionComparison,
  VersionDetail,
  VersionPage,
  VersionPatch,
  VersionState,
} from "./types.js";
import { versionCard } from "./version-card.js";
import { SELECT_SUMMARY, toSummary } from "./version-row.js";

const VISIBLE: readonly VersionState[] = ["pending", "ready", "failed"];

/** Database, store of contents and folder of a registry. */
export interface ModelRegistryOptions {
  readonly sql: SqlDriver;
  readonly store: BlobStore;
  /** Folder of `versions/`, `active/` and `active_model.json`. */
  readonly root: string;
  readonly events: HubEvents;
  readonly clock?: HubClock;
  /** Text of a version's README.md; `previous` is the one that it replaces, else "". @defaultValue {@link versionCard} */
  readonly renderCard?: (version: VersionDetail, previous: string) => string;
  /** A derived file could not be written: the change itself is done, `repair()` writes the file later. @defaultValue ignored */
  readonly onDerivedError?: (error: unknown, what: string) => void;
}

/**
 * Immutable versions of models and one active pointer each. The database is the truth: every change is one transaction that first locks the
 * model's row, so processes may work on one registry at once. Blobs are in the store before a row names them.
 */
export class ModelRegistry implements ModelRegistryPort {
  readonly #sql: SqlDriver;
  readonly #store: BlobStore;
  readonly #events: HubEvents;
  readonly #clock: HubClock;
  readonly #derived: DerivedFiles;
  readonly #onDerivedError: (error: unknown, what: string) => void;

  constructor({
    sql,
    store,
    root,
    events,
    clock = systemClock,
    renderCard = versionCard,
    onDerivedError = () => undefined,
  }: ModelRegistryOptions) {
    this.#sql = sql;
    this.#store = store;
    this.#events = events;
    this.#clock = clock;
    this.#derived = new DerivedFiles({ root, store, renderCard });
    this.#onDerivedError = onDerivedError;
  }

  async register(
    input: RegisterInput,
    { idempotencyKey, signal }: { idempotencyKey?: string; signal?: AbortSignal } = {},
  ): Promise<VersionDetail> {
    const parsed = parseOrThrow(registerInput, input, "The registration");
    const metrics = checkMetrics(parsed.metrics);
    const { files, complete } = await storeFiles({ files: parsed.files, store: this.#store, signal });
    signal?.throwIfAborted();
    const { version, isNew, event } = await this.#sql.write(async (tx) => {
      const inserted = await insertVersion(
        tx,
        { input: parsed, files, metrics, complete },
        { nowMs: this.#clock.now(), idempotencyKey },
      );
      const registered =
        inserted.isNew && complete ? await this.#record(tx, "version.registered", inserted.version) : null;
      return { ...inserted, event: registered };
    });
    if (isNew) await this.#derive(`files of ${version.version}`, () => this.#writeDerived(version));
    if (event !== null) this.#events.publish(event);
    return version;
  }

  async complete(version: string, { model = "default" }: ActOptions = {}): Promise<VersionDetail> {
    const pending = await readVersion(this.#sql, model, version);
    this.#requirePending(pending);
    for (const file of pending.files) {
      const key = blobKey(file.sha256);
      if ((await this.#store.head(key)) === null) {
        throw new HubError({
          code: "INVALID_STATE",
          message: `${file.path} of ${version} is not in the store yet. Upload ${key}, then complete the version again.`,
          details: { path: file.path, key },
        });
      }
      const found = await digest(await this.#store.get(key));
      if (found.sha256 !== file.sha256 || found.md5 !== file.md5 || found.bytes !== file.bytes) {
        throw new HubError({
          code: "INTEGRITY",
          message: `${file.path} of ${version} is stored as ${found.bytes} bytes with SHA-256 ${found.sha256} and MD5 ${found.md5}, the manifest says ${file.bytes}, ${file.sha256}, ${file.md5}.`,
          details: { path: file.path, expected: file.sha256, found: found.sha256 },
        });
      }
    }
    const [ready, event] = await this.#sql.write(async (tx) => {
      await lockModel(tx, model);
      this.#requirePending(await readVersion(tx, model, pending.version));
      await tx.run(
        "UPDATE version SET state = 'ready', row_version = row_version + 1 WHERE model = ? AND version = ?",
        [model, pending.version],
      );
      const detail = await readVersion(tx, model, pending.version);
      return [detail, await this.#record(tx, "version.registered", detail)] as const;
    });
    await this.#derive(`files of ${ready.version}`, () => this.#writeDerived(ready));
    this.#events.publish(event);
    return ready;
  }

  async fail(
    version: string,
    { model = "default", failure }: ActOptions & { failure: string },
  ): Promise<VersionDetail> {
    return this.#sql.write(async (tx) => {
      await lockModel(tx, model);
      const pending = await readVersion(tx, model, version);
      this.#requirePending(pending);
      await tx.run(
        "UPDATE version SET state = 'failed', failure = ?, row_version = row_version + 1 WHERE model = ? AND version = ?",
        [failure.slice(0, 2000), model, pending.version],
      );
      return readVersion(tx, model, pending.version);
    });
  }

  #requirePending({ version, state }: VersionDetail): void {
    if (state === "pending") return;
    throw new HubError({
      code: "INVALID_STATE",
      message: `${version} is ${state}; only a pending version can be completed or failed.`,
      details: { version, state },
    });
  }

  async list({ model = "default", limit, cursor, states = VISIBLE, tag }: ListOptions = {}): Promise<VersionPage> {
    parseOrThrow(modelName, model, "The model's name");
    const size = parseLimit(limit);
    const before = parseCursor(cursor);
    if (states.length === 0) return { versions: [], total: 0, next_cursor: null };
    // A tag is stored inside a JSON array; its JSON text, quotes included, is found literally.
    const wanted = tag === undefined ? null : `%${JSON.stringify(tag).replace(/[\\%_]/g, "\\$&")}%`;
    const where = `v.model = ? AND v.state IN (${states.map(() => "?").join(", ")})${wanted === null ? "" : " AND v.tags LIKE ? ESCAPE '\\'"}`;
    const parameters = [model, ...states, ...(wanted === null ? [] : [wanted])];
    const rows = await this.#sql.all(
      `${SELECT_SUMMARY} WHERE ${where}${before === null ? "" : " AND v.seq < ?"} ORDER BY v.seq DESC LIMIT ?`,
      [...parameters, ...(before === null ? [] : [before]), size + 1],
    );
    const [count] = await this.#sql.all(`SELECT COUNT(*) AS total FROM version v WHERE ${where}`, parameters);
    const page = rows.slice(0, size).map(toSummary);
    return {
      versions: page,
      total: integer(count!, "total"),
      next_cursor: rows.length > size ? writeCursor(page.at(-1)!.seq) : null,
    };
  }

  async get(version: string, { model = "default" }: ModelOption = {}): Promise<VersionDetail> {
    return readVersion(this.#sql, model, version);
  }

  async models(): Promise<
    readonly { readonly model: string; readonly versions: number; readonly active: string | null }[]
  > {
    const rows = await this.#sql.all(
      `SELECT m.name, m.active_version,
        (SELECT COUNT(*) FROM version v WHERE v.model = m.name AND v.state <> 'deleted') AS versions
        FROM model m ORDER BY m.name`,
    );
    return rows.map((row) => ({
      model: text(row, "name"),
      versions: integer(row, "versions"),
      active: row["active_version"] === null ? null : text(row, "active_version"),
    }));
  }

  /** The version that a run registered, or null. */
  async findByRun(runId: string, { model = "default" }: ModelOption = {}): Promise<VersionDetail | null> {
    const [row] = await this.#sql.all(
      "SELECT version FROM version WHERE model = ? AND run_id = ? AND state <> 'deleted'",
      [model, runId],
    );
    return row === undefined ? null : readVersion(this.#sql, model, text(row, "version"));
  }

  async update(
    version: string,
    patch: VersionPatch,
    { model = "default", ifMatch }: ActOptions & { ifMatch: number },
  ): Promise<VersionDetail> {
    const { description, tags, aliases } = parseOrThrow(versionPatch, patch, "The change");
    const updated = await this.#sql.write(async (tx) => {
      await lockModel(tx, model);
      const now = await readVersion(tx, model, version);
      if (now.row_version !== ifMatch) {
        throw new HubError({
          code: "STALE",
          message: `${now.version} has changed: its row version is ${now.row_version}, not ${ifMatch}. Read it again and repeat the change.`,
          details: { version: now.version, row_version: now.row_version, if_match: ifMatch },
        });
      }
      await tx.run(
        "UPDATE version SET description = ?, tags = ?, row_version = row_version + 1 WHERE model = ? AND version = ?",
        [description ?? now.description, JSON.stringify(tags ?? now.tags), model, now.version],
      );
      if (aliases !== undefined) await setAliases(tx, { model, version: now.version, aliases });
      return readVersion(tx, model, now.version);
    });
    return updated;
  }

  async compare(
    a: string,
    b: string,
    { model = "default", primary }: ModelOption & { primary?: string } = {},
  ): Promise<VersionComparison> {
    return compareVersions({ a: await this.get(a, { model }), b: await this.get(b, { model }), primary });
  }

  async suggest(
    version: string,
    policy: ActivationPolicy = {},
    { model = "default" }: ModelOption = {},
  ): Promise<PolicyDecision> {
    return decide({ candidate: await this.get(version, { model }), active: await this.active({ model }), policy });
  }

  async activate(
    version: string,
    {
      model = "default",
      actor = null,
      reason = null,
      policyDecision,
    }: ActOptions & { policyDecision?: PolicyDecision } = {},
  ): Promise<ActiveVersion> {
    await this.#requireBlobs(await readVersion(this.#sql, model, version));
    return this.#move(model, async (tx) => {
      const row = await lockModel(tx, model);
      const wanted = await readVersion(tx, model, version);
      if (wanted.version === row.activeVersion) return false;
      requireReady(wanted);
      await appendActivation(tx, {
        model: row,
        version: wanted.version,
        kind: "activate",
        below: topOf(row),
        actor,
        reason,
        at: this.#at(),
        decision: policyDecision ?? null,
      });
      return true;
    });
  }

  async rollback({
    model = "default",
    actor = null,
    reason = null,
    to,
  }: ActOptions & { to?: string } = {}): Promise<ActiveVersion> {
    const named = to === undefined ? null : (await readVersion(this.#sql, model, to)).version;
    return this.#move(model, async (tx) => {
      const row = await lockModel(tx, model);
      if (named !== null && named === row.activeVersion) return false;
      const target = await findRollbackTarget(tx, row, named);
      if (target === null && named === null) {
        throw new HubError({
          code: "NO_PREVIOUS_VERSION",
          message: `${model} has no earlier version to go back to. Activate one by name.`,
          details: { model, active: row.activeVersion },
        });
      }
      // Deleted in the meantime is NOT_FOUND here.
      const version = await readVersion(tx, model, target?.version ?? named!);
      requireReady(version);
      await this.#requireBlobs(version);
      await appendActivation(tx, {
        model: row,
        version: version.version,
        kind: target === null ? "activate" : "rollback",
        below: target === null ? topOf(row) : target.below,
        actor,
        reason,
        at: this.#at(),
        decision: null,
      });
      return true;
    });
  }

  async #move(model: string, change: (tx: SqlTransaction) => Promise<boolean>): Promise<ActiveVersion> {
    const [active, event] = await this.#sql.write(async (tx) => {
      const changed = await change(tx);
      const now = { ...(await readActive(tx, model))!, changed };
      return [now, changed ? await this.#record(tx, "version.activated", now) : null] as const;
    });
    if (active.changed) {
      await this.#derive("the active pointer", async () => {
        await this.#writeFolder(active);
        await this.#derived.writeActive(model, () => readActive(this.#sql, model));
      });
    }
    if (event !== null) this.#events.publish(event);
    return active;
  }

  async deactivate({ model = "default", actor = null, reason = null }: ActOptions = {}): Promise<ActivationRecord> {
    const [record, event] = await this.#sql.write(async (tx) => {
      const row = await lockModel(tx, model);
      if (row.activeVersion === null) throw noActiveVersion(model);
      const appended = await appendActivation(tx, {
        model: row,
        version: null,
        kind: "deactivate",
        below: topOf(row),
        actor,
        reason,
        at: this.#at(),
        decision: null,
      });
      const told = await this.#events.record(tx, "version.deactivated", { model, version: row.activeVersion });
      return [appended, told] as const;
    });
    await this.#derive("the active pointer", () =>
      this.#derived.writeActive(model, () => readActive(this.#sql, model)),
    );
    this.#events.publish(event);
    return record;
  }

  async active({ model = "default" }: ModelOption = {}): Promise<ActiveVersion | null> {
    return readActive(this.#sql, model);
  }

  async delete(
    version: string,
    { model = "default", force = false }: ActOptions & { force?: boolean } = {},
  ): Promise<void> {
    const [name, event] = await this.#sql.write(async (tx) => {
      const row = await lockModel(tx, model);
      const doomed = await readVersion(tx, model, version);
      const refuse = (
        code: "VERSION_ACTIVE" | "CONFLICT",
        message: string,
        details: Record<string, unknown>,
      ): never => {
        throw new HubError({ code, message, details: { model, version: doomed.version, ...details } });
      };
      if (row.activeVersion === doomed.version) {
        refuse(
          "VERSION_ACTIVE",
          `${doomed.version} is active and cannot be deleted. Activate another version or deactivate it first.`,
          {},
        );
      }
      if (!force) {
        if (doomed.aliases.length > 0) {
          refuse(
            "CONFLICT",
            `${doomed.version} has the aliases ${doomed.aliases.join(", ")}. Delete it with force, or take them off.`,
            {
              aliases: doomed.aliases,
            },
          );
        }
        const children = await childrenOf(tx, model, doomed.version);
        if (children.length > 0) {
          refuse(
            "CONFLICT",
            `${doomed.version} is the parent of ${children.join(", ")}. Delete it with force, or those first.`,
            { children },
          );
        }
      }
      await setAliases(tx, { model, version: doomed.version, aliases: [] });
      await tx.run(
        "UPDATE version SET state = 'deleted', deleted_at = ?, row_version = row_version + 1 WHERE model = ? AND version = ?",
        [this.#at(), model, doomed.version],
      );
      return [doomed.version, await this.#record(tx, "version.deleted", doomed)] as const;
    });
    await this.#derive(`files of ${name}`, async () => {
      await this.#derived.removeVersion(model, name);
      await this.#store.delete(manifestKey(model, name));
    });
    this.#events.publish(event);
  }

  async history({
    model = "default",
    limit,
    cursor,
  }: ModelOption & { limit?: number; cursor?: string | null } = {}): Promise<HistoryPage> {
    const size = parseLimit(limit);
    const before = parseCursor(cursor);
    const rows = await this.#sql.all(
      `SELECT * FROM activation WHERE model = ?${before === null ? "" : " AND seq < ?"} ORDER BY seq DESC LIMIT ?`,
      [model, ...(before === null ? [] : [before]), size + 1],
    );
    const [count] = await this.#sql.all("SELECT COUNT(*) AS total FROM activation WHERE model = ?", [model]);
    const page = rows.slice(0, size).map(toActivationRecord);
    return {
      history: page,
      total: integer(count!, "total"),
      next_cursor: rows.length > size ? writeCursor(page.at(-1)!.seq) : null,
    };
  }

  /** Folder of a version's files, written when it is not there. */
  async directory(version: string, { model = "default" }: ModelOption = {}): Promise<string> {
    const detail = await readVersion(this.#sql, model, version);
    await this.#requireBlobs(detail);
    await this.#writeFolder(detail);
    return this.#derived.versionDirectory(model, detail.version);
  }

  async repair({ signal }: { signal?: AbortSignal } = {}): Promise<RepairReport> {
    return repairRegistry({
      sql: this.#sql,
      store: this.#store,
      derived: this.#derived,
      clock: this.#clock,
      complete: (version, model) => this.complete(version, { model }),
      signal,
    });
  }

  #at(): string {
    return new Date(this.#clock.now()).toISOString();
  }

  #record(tx: SqlTransaction, type: HubEvent["type"], { model, version, seq }: VersionDetail): Promise<HubEvent> {
    return this.#events.record(tx, type, { model, version, seq });
  }

  /** The manifest in the store keeps the blobs from being collected; the folder is for people. */
  async #writeDerived(version: VersionDetail): Promise<void> {
    await this.#store.put(
      manifestKey(version.model, version.version),
      once(Buffer.from(canonicalJson(version.manifest))),
      {
        sha256: version.manifest_sha256,
      },
    );
    if (version.state === "ready") await this.#writeFolder(version);
  }

  async #writeFolder(version: VersionDetail): Promise<void> {
    await this.#derived.writeVersion(version);
    // Deleted by another process before the folder was there to be removed.
    const [row] = await this.#sql.all("SELECT state FROM version WHERE model = ? AND version = ?", [
      version.model,
      version.version,
    ]);
    if (text(row!, "state") !== "deleted") return;
    await this.#derived.removeVersion(version.model, version.version);
    await this.#store.delete(manifestKey(version.model, version.version));
  }

  /** What is derived must not undo or hide what is done. */
  async #derive(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#onDerivedError(error, what);
    }
  }

  async #requireBlobs({ version, files }: VersionDetail): Promise<void> {
    for (const { path, sha256, bytes } of files) {
      const found = await this.#store.head(blobKey(sha256));
      if (found?.bytes === bytes) continue;
      throw new HubError({
        code: "INTEGRITY",
        message: `${path} of ${version} is ${found === null ? "missing from" : "damaged in"} the object store (${blobKey(sha256)}). Restore the blob, then try again.`,
        details: { version, path, sha256 },
      });
    }
  }
}

function requireReady({ version, state }: VersionDetail): void {
  if (state === "ready") return;
  throw new HubError({
    code: "INVALID_STATE",
    message: `${version} is ${state}; only a ready version can be active.`,
    details: { version, state },
  });
}

/** Versions that name `version` as a parent, by its name or as `model@version`. */
async function childrenOf(tx: SqlTransaction, model: string, version: string): Promise<string[]> {
  const full = `${model}@${version}`;
  const rows = await tx.all(
    `SELECT model, version FROM version WHERE state <> 'deleted' AND (
      (model = ? AND ? IN (parent_teacher, parent_adapter, parent_base)) OR ? IN (parent_teacher, parent_adapter, parent_base))
      ORDER BY model, seq`,
    [model, version, full],
  );
  return rows.map((row) =>
    text(row, "model") === model ? text(row, "version") : `${text(row, "model")}@${text(row, "version")}`,
  );
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** Enough of a card when no other is given. */
