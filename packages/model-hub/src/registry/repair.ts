import { HubError } from "../errors.js";
import type { HubClock } from "../internal/clock.js";
import { type SqlDriver, text } from "../sql/driver.js";
import { readActive } from "./activation.js";
import { type BlobStore, blobKey, manifestKey } from "./blob-store.js";
import { canonicalJson } from "./canonical-json.js";
import type { DerivedFiles } from "./derived-files.js";
import { readVersion } from "./model-row.js";
import type { RepairReport, VersionDetail } from "./types.js";

/** A temporary folder that young may belong to a registration at work. */
const TEMPORARY_AGE_MS = 3600 * 1000;

/** Rebuilds everything that is derived from the database, and says what is damaged. */
export async function repairRegistry({
  sql,
  store,
  derived,
  clock,
  complete,
  signal,
}: {
  sql: SqlDriver;
  store: BlobStore;
  derived: DerivedFiles;
  clock: HubClock;
  complete: (version: string, model: string) => Promise<VersionDetail>;
  signal?: AbortSignal | undefined;
}): Promise<RepairReport> {
  const written: string[] = [];
  const removed: string[] = [];
  const completed: string[] = [];
  const damaged: { model: string; version: string; problem: string }[] = [];

  for (const row of await sql.all("SELECT name FROM model ORDER BY name")) {
    const model = text(row, "name");
    const label = (version: string) => (model === "default" ? version : `${model}@${version}`);
    const known = new Set<string>();
    const names = await sql.all("SELECT version FROM version WHERE model = ? AND state <> 'deleted' ORDER BY seq", [
      model,
    ]);
    for (const name of names.map((found) => text(found, "version"))) {
      signal?.throwIfAborted();
      known.add(name);
      try {
        let version = await readVersion(sql, model, name);
        if (version.state === "pending" && (await hasBlobs(store, version))) {
          version = await complete(name, model);
          completed.push(label(name));
        }
        if (version.state !== "ready") continue;
        if (!(await hasBlobs(store, version))) {
          damaged.push({
            model,
            version: name,
            problem: "a blob is missing from the object store or has another length",
          });
          continue;
        }
        const key = manifestKey(model, name);
        if ((await store.head(key)) === null) {
          await store.put(key, once(canonicalJson(version.manifest)), { sha256: version.manifest_sha256 });
        }
        if (await derived.writeVersion(version, signal)) written.push(label(name));
      } catch (error) {
        if (!HubError.isInstance(error)) throw error;
        // Deleted while this ran.
        if (error.code === "NOT_FOUND") continue;
        damaged.push({ model, version: name, problem: error.message });
      }
    }
    const folders = await derived.listFolders(model);
    for (const name of folders.versions.filter((found) => !known.has(found))) {
      // Registered since the list above was read.
      const [row] = await sql.all(
        "SELECT 1 AS found FROM version WHERE model = ? AND version = ? AND state <> 'deleted'",
        [model, name],
      );
      if (row !== undefined) continue;
      await derived.removeVersion(model, name);
      removed.push(label(name));
    }
    for (const name of folders.temporary) {
      if (await derived.removeTemporary(model, name, { olderThanMs: TEMPORARY_AGE_MS, nowMs: clock.now() }))
        removed.push(name);
    }
    await derived.writeActive(model, () => readActive(sql, model));
  }
  return { written, removed, completed, damaged };
}

async function hasBlobs(store: BlobStore, version: VersionDetail): Promise<boolean> {
  for (const { sha256, bytes } of version.files) {
    if ((await store.head(blobKey(sha256)))?.bytes !== bytes) return false;
  }
  return true;
}

async function* once(content: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(content);
}
