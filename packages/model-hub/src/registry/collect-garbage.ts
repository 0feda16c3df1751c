import { type SqlDriver, text } from "../sql/driver.js";
import { blobKey } from "./blob-store.js";

/** Younger blobs may belong to a registration at work. */
const MIN_AGE_MS = 7 * 24 * 3600_000;

/** The part of an object store that collecting needs. */
export interface CollectableStore {
  list(prefix: string): AsyncIterable<{ readonly key: string; readonly bytes: number; readonly modifiedMs: number }>;
  get(key: string): Promise<AsyncIterable<Uint8Array>>;
  delete(key: string): Promise<void>;
}

/** What the collection of unused content removed. */
export interface GarbageReport {
  /** Keys. */
  readonly removed: readonly string[];
  readonly bytes: number;
  readonly kept: number;
}

/**
 * Deletes blobs under `blobs/sha256/` that neither a version of the database that is not deleted, nor a manifest, nor a layer's index names,
 * and that are older than seven days. The database is asked once more right before each deletion.
 */
export async function collectGarbage({
  sql,
  store,
  now = Date.now,
  minAgeMs = MIN_AGE_MS,
  dryRun = false,
  signal,
}: {
  sql: SqlDriver;
  store: CollectableStore;
  now?: () => number;
  minAgeMs?: number;
  dryRun?: boolean;
  signal?: AbortSignal;
}): Promise<GarbageReport> {
  const needed = new Set<string>();
  const rows = await sql.all(
    "SELECT DISTINCT f.sha256 FROM version_file f JOIN version v ON v.model = f.model AND v.version = f.version WHERE v.state <> 'deleted'",
  );
  for (const row of rows) needed.add(blobKey(text(row, "sha256")));
  for (const prefix of ["manifests/", "layers/"]) {
    for await (const { key } of store.list(prefix)) {
      signal?.throwIfAborted();
      if (!key.endsWith(".json")) continue;
      // Every digest that the document holds is kept, whatever its shape: too much is harmless.
      for (const [digest] of (await readText(store, key)).matchAll(/\b[0-9a-f]{64}\b/g)) needed.add(blobKey(digest));
    }
  }
  const removed: string[] = [];
  let bytes = 0;
  let kept = 0;
  for await (const blob of store.list("blobs/sha256/")) {
    signal?.throwIfAborted();
    const isOld = now() - blob.modifiedMs > minAgeMs;
    if (!isOld || needed.has(blob.key) || (await isNamed(sql, blob.key))) {
      kept++;
      continue;
    }
    if (!dryRun) await store.delete(blob.key);
    removed.push(blob.key);
    bytes += blob.bytes;
  }
  return { removed, bytes, kept };
}

async function isNamed(sql: SqlDriver, key: string): Promise<boolean> {
  const rows = await sql.all(
    "SELECT 1 AS found FROM version_file f JOIN version v ON v.model = f.model AND v.version = f.version WHERE f.sha256 = ? AND v.state <> 'deleted' LIMIT 1",
    [key.slice(key.lastIndexOf("/") + 1)],
  );
  return rows.length > 0;
}

async function readText(store: CollectableStore, key: string): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of await store.get(key)) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}
