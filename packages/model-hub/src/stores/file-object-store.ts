import { createHash, randomBytes } from "node:crypto";
import type { BigIntStats } from "node:fs";
import { link, mkdir, open as openFile, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isPresent, listFiles, listNames } from "../cache/cache-folder.js";
import { BlobLock } from "../download/blob-lock.js";
import type { OpenFile } from "../download/partial-file.js";
import { HubError } from "../errors.js";
import { systemClock } from "../internal/clock.js";
import { HUB_PLACES, storageError } from "../internal/storage-error.js";
import { syncDirectory, writeFileAtomic } from "../internal/write-file.js";
import {
  alreadyExists,
  assertKey,
  type Content,
  notFound,
  type ObjectInfo,
  type ObjectStore,
  type PutOptions,
  pieces,
  type StoreCapabilities,
  stale,
} from "./object-store.js";

/** Ends the name of what describes an object; no key may end so. */
const META = ".meta.json";
/** Ends the name of content that is being written. */
const PARTIAL = ".partial";
/** Ends the name of the description of content that is about to appear. */
const PENDING = ".json";
/** Unfinished content this old has no writer any more. */
const ABANDONED_AFTER_MS = 24 * 3600_000;

interface Meta {
  readonly sha256: string;
  readonly md5: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** Inode of the content that is described: tells which of two descriptions belongs to an object while it is replaced. */
  readonly ino?: string;
}

/**
 * A folder as an object store: the key is the path, `<key>.meta.json` beside it holds digests and metadata. Objects appear whole: temporary
 * file, fsync, then a hard link (`ifAbsent`: the link fails when the key exists) or a rename. The description is written before the object
 * appears, to `.staging/<key's hash>.<inode>.json`, and moved to its place after it: whenever a writer dies, every object has the
 * description of its own content.
 */
export class FileObjectStore implements ObjectStore {
  readonly #root: string;
  readonly #staging: string;
  readonly #open: OpenFile;
  #swept: Promise<void> | null = null;

  /** @param open - opens what is written. @defaultValue Node's */
  constructor({ root, open = openFile }: { root: string; open?: OpenFile }) {
    this.#root = root;
    this.#open = open;
    this.#staging = join(root, ".staging");
  }

  describe(): string {
    return this.#root;
  }

  async capabilities(): Promise<StoreCapabilities> {
    return { conditionalWrites: true, fallbackLock: false };
  }

  #path(key: string): string {
    if (key.endsWith(META)) throw new HubError({ code: "INVALID_REQUEST", message: `Keys do not end in ${META}.` });
    return join(this.#root, ...assertKey(key).split("/"));
  }

  /** @throws {@link HubError} `NO_SPACE` or `INTERNAL`, with path and reason, where the folder cannot be written; nothing has appeared then */
  put(key: string, content: Content, options: PutOptions = {}): Promise<ObjectInfo> {
    return this.#writing(() => this.#put(key, content, options));
  }

  /** Tells a folder that cannot be written apart from other failures. */
  async #writing<Result>(work: () => Promise<Result>): Promise<Result> {
    try {
      return await work();
    } catch (error) {
      throw storageError(error, this.#root, HUB_PLACES);
    }
  }

  async #put(key: string, content: Content, options: PutOptions): Promise<ObjectInfo> {
    const path = this.#path(key);
    const { sha256, ifAbsent = false, ifMatch, metadata = {}, signal, onBytes } = options;
    await mkdir(dirname(path), { recursive: true });
    await mkdir(this.#staging, { recursive: true });
    this.#swept ??= this.#sweep();
    await this.#swept;
    const temporary = join(this.#staging, `${randomBytes(8).toString("hex")}${PARTIAL}`);
    const file = await this.#open(temporary, "wx");
    const [whole, md5] = [createHash("sha256"), createHash("md5")];
    let bytes = 0;
    let isOpen = true;
    try {
      for await (const piece of pieces(content)) {
        signal?.throwIfAborted();
        whole.update(piece);
        md5.update(piece);
        await file.write(piece);
        bytes += piece.length;
        onBytes?.(bytes);
      }
      await file.sync();
      const { mtime, ino } = await file.stat({ bigint: true });
      await file.close();
      isOpen = false;
      const digests = { sha256: whole.digest("hex"), md5: md5.digest("hex") };
      if (sha256 !== undefined && sha256.toLowerCase() !== digests.sha256) {
        throw new HubError({
          code: "INTEGRITY",
          message: `"${key}" has SHA-256 ${digests.sha256}, expected ${sha256}. Nothing was stored.`,
          details: { key, expected: sha256, actual: digests.sha256 },
        });
      }
      const appear = () => (ifAbsent ? linkNew(key, temporary, path) : rename(temporary, path));
      await this.#publish({ key, path, meta: { ...digests, metadata, ino: String(ino) }, ifAbsent, ifMatch, appear });
      // What was stored, not what lies there now: another process may have replaced or deleted it.
      return { key, bytes, etag: digests.md5, modifiedAt: mtime.toISOString(), ...digests, metadata };
    } finally {
      if (isOpen) await file.close();
      await rm(temporary, { force: true });
    }
  }

  /** Lets content and description appear. */
  async #publish({
    key,
    path,
    meta,
    ifAbsent,
    ifMatch,
    appear,
  }: {
    key: string;
    path: string;
    meta: Meta;
    ifAbsent: boolean;
    ifMatch: string | undefined;
    appear: () => Promise<void>;
  }): Promise<void> {
    if (ifAbsent && (await isPresent(path))) throw alreadyExists(key);
    const pending = this.#pendingPath(key, meta.ino!);
    const isDone = async () => ifAbsent && (await isPresent(path));
    const isMine = await this.#withLock(key, isDone, async () => {
      await this.#settle(key, path);
      if (ifMatch !== undefined && (await this.head(key))?.etag !== ifMatch) throw stale(key);
      await writeFileAtomic(pending, JSON.stringify(meta));
      try {
        await appear();
      } catch (error) {
        await rm(pending, { force: true });
        throw error;
      }
      await rename(pending, `${path}${META}`).catch((error: NodeJS.ErrnoException) => {
        // A writer that took this one for dead has settled it.
        if (error.code !== "ENOENT") throw error;
      });
      await syncDirectory(dirname(path));
    });
    if (!isMine) throw alreadyExists(key);
  }

  /**
   * A change of a key is several steps: a comparison and a rename, content and description.
   * @param isDone - nothing is left to do or to wait for
   * @returns false when `isDone` said yes instead of the work
   */
  async #withLock(key: string, isDone: () => Promise<boolean>, work: () => Promise<void>): Promise<boolean> {
    const lock = await BlobLock.acquire({
      path: join(this.#staging, `${hashOf(key)}.lock`),
      clock: systemClock,
      isDone,
    });
    if (lock === null && (await isDone())) return false;
    try {
      await work();
      return true;
    } finally {
      await lock?.release();
    }
  }

  #pendingPath(key: string, ino: string): string {
    return join(this.#staging, `${hashOf(key)}.${ino}${PENDING}`);
  }

  /** Ends what killed writers of a key began, under its lock: moves the description of the present content to its place, removes the others. */
  async #settle(key: string, path: string): Promise<void> {
    const current = (await statOf(path))?.ino;
    for (const name of await listNames(this.#staging)) {
      if (!name.startsWith(`${hashOf(key)}.`) || !name.endsWith(PENDING)) continue;
      const pending = join(this.#staging, name);
      const isCurrent = current !== undefined && pending === this.#pendingPath(key, String(current));
      if (isCurrent) await rename(pending, `${path}${META}`);
      else await rm(pending, { force: true });
    }
  }

  /** Removes content whose writer was killed. Descriptions stay until their key is written again: one may be the only one of its object. */
  async #sweep(): Promise<void> {
    for (const name of await listNames(this.#staging)) {
      if (!name.endsWith(PARTIAL) && !name.endsWith(".tmp")) continue;
      const path = join(this.#staging, name);
      const found = await stat(path).catch(() => null);
      if (found !== null && Date.now() - found.mtimeMs > ABANDONED_AFTER_MS) await rm(path, { force: true });
    }
  }

  async head(key: string): Promise<ObjectInfo | null> {
    const path = this.#path(key);
    for (;;) {
      const found = await statOf(path);
      if (found === null || !found.isFile()) return null;
      const info = await this.#info(key, path, found);
      if (info !== null) return info;
    }
  }

  /** What is known of the content with this inode; null when another one has taken its place meanwhile. */
  async #info(key: string, path: string, found: BigIntStats): Promise<ObjectInfo | null> {
    const ino = String(found.ino);
    let meta = await readMeta(`${path}${META}`);
    if (meta?.ino !== ino) {
      // Being replaced; or its writer died between content and description; or the folder is a copy, with other inodes.
      meta = (await readMeta(this.#pendingPath(key, ino))) ?? (await readMeta(`${path}${META}`));
      if (meta?.ino !== ino && (await statOf(path))?.ino !== found.ino) return null;
    }
    return {
      key,
      bytes: Number(found.size),
      etag: meta?.md5 ?? `${found.size}-${found.mtimeMs}`,
      modifiedAt: found.mtime.toISOString(),
      sha256: meta?.sha256 ?? null,
      md5: meta?.md5 ?? null,
      metadata: meta?.metadata ?? {},
    };
  }

  async get(
    key: string,
    { range, signal }: { range?: { start: number; end?: number }; signal?: AbortSignal } = {},
  ): Promise<{ info: ObjectInfo; body: AsyncIterable<Uint8Array> }> {
    const path = this.#path(key);
    for (;;) {
      // Description and content are of one opened file, whatever happens to its name.
      const file = await openFile(path, "r").catch((error: NodeJS.ErrnoException) => {
        if (error.code === "ENOENT" || error.code === "ENOTDIR") return null;
        throw error;
      });
      const found = await file?.stat({ bigint: true });
      if (!file || !found?.isFile()) {
        await file?.close();
        throw notFound(key, this.describe());
      }
      const info = await this.#info(key, path, found);
      if (info === null) {
        await file.close();
        continue;
      }
      const stream = file.createReadStream({
        highWaterMark: 1 << 20,
        ...(range === undefined
          ? {}
          : { start: range.start, ...(range.end === undefined ? {} : { end: range.end - 1 }) }),
        ...(signal === undefined ? {} : { signal }),
      });
      return { info, body: range === undefined ? verified(stream, info) : stream };
    }
  }

  async *list(prefix: string): AsyncIterable<ObjectInfo> {
    for (const key of await listFiles(this.#root)) {
      if (!key.startsWith(prefix) || key.endsWith(META) || key.startsWith(".staging/")) continue;
      const info = await this.head(key);
      if (info !== null) yield info;
    }
  }

  async delete(key: string): Promise<void> {
    const path = this.#path(key);
    // Nothing is made where nothing lies.
    if (!(await isPresent(path)) && !(await isPresent(`${path}${META}`))) return;
    const isDone = async () => !(await isPresent(path));
    await this.#writing(() =>
      this.#withLock(key, isDone, async () => {
        await this.#settle(key, path);
        await rm(path, { force: true });
        await rm(`${path}${META}`, { force: true });
      }),
    );
  }

  async copy(from: string, to: string): Promise<ObjectInfo> {
    const { info, body } = await this.get(from);
    return this.put(to, body, { metadata: info.metadata });
  }
}

const hashOf = (key: string): string => createHash("sha256").update(key).digest("hex").slice(0, 32);

const statOf = (path: string): Promise<BigIntStats | null> => stat(path, { bigint: true }).catch(() => null);

const readMeta = (path: string): Promise<Meta | null> =>
  readFile(path, "utf8").then(
    (text) => JSON.parse(text) as Meta,
    () => null,
  );

async function linkNew(key: string, temporary: string, path: string): Promise<void> {
  try {
    await link(temporary, path);
  } catch (error) {
    throw (error as NodeJS.ErrnoException).code === "EEXIST" ? alreadyExists(key) : error;
  }
}

/** A whole body that ends with an error when it is not what its own metadata promises. */
export async function* verified(body: AsyncIterable<Uint8Array>, info: ObjectInfo): AsyncIterable<Uint8Array> {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const piece of body) {
    hash.update(piece);
    bytes += piece.length;
    yield piece;
  }
  const actual = hash.digest("hex");
  if (bytes === info.bytes && (info.sha256 === null || info.sha256 === actual)) return;
  throw new HubError({
    code: "INTEGRITY",
    message: `"${info.key}" reads as ${bytes} bytes with SHA-256 ${actual}; stored were ${info.bytes} bytes with ${info.sha256}. The stored object is damaged.`,
    details: { key: info.key, expected: info.sha256, actual },
  });
}
