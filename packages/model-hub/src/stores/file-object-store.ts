import { createHash, randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { link, mkdir, open, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { listFiles } from "../cache/cache-folder.js";
import { BlobLock } from "../download/blob-lock.js";
import { HubError } from "../errors.js";
import { systemClock } from "../internal/clock.js";
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

interface Meta {
  readonly sha256: string;
  readonly md5: string;
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * A folder as an object store: the key is the path, `<key>.meta.json` beside it holds digests and metadata. Objects appear whole: temporary
 * file, fsync, then a hard link (`ifAbsent`: the link fails when the key exists) or a rename.
 */
export class FileObjectStore implements ObjectStore {
  readonly #root: string;
  constructor({ root }: { root: string }) {
    this.#root = root;
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

  async put(key: string, content: Content, options: PutOptions = {}): Promise<ObjectInfo> {
    const path = this.#path(key);
    const { sha256, ifAbsent = false, ifMatch, metadata = {}, signal, onBytes } = options;
    await mkdir(dirname(path), { recursive: true });
    const staging = join(this.#root, ".staging");
    await mkdir(staging, { recursive: true });
    const temporary = join(staging, randomBytes(8).toString("hex"));
    const file = await open(temporary, "wx");
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
      const { mtime } = await file.stat();
      await file.close();
      isOpen = false;
      const meta: Meta = { sha256: whole.digest("hex"), md5: md5.digest("hex"), metadata };
      if (sha256 !== undefined && sha256.toLowerCase() !== meta.sha256) {
        throw new HubError({
          code: "INTEGRITY",
          message: `"${key}" has SHA-256 ${meta.sha256}, expected ${sha256}. Nothing was stored.`,
          details: { key, expected: sha256, actual: meta.sha256 },
        });
      }
      if (ifAbsent) await this.#linkNew(key, path, temporary, meta);
      else await this.#replace(key, path, temporary, meta, ifMatch);
      // What was stored, not what lies there now: another process may have replaced or deleted it.
      return { key, bytes, etag: meta.md5, modifiedAt: mtime.toISOString(), ...meta };
    } finally {
      if (isOpen) await file.close();
      await rm(temporary, { force: true });
    }
  }

  async #linkNew(key: string, path: string, temporary: string, meta: Meta): Promise<void> {
    try {
      await link(temporary, path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EEXIST") throw alreadyExists(key);
      throw error;
    }
    await writeFileAtomic(`${path}${META}`, JSON.stringify(meta));
  }

  /** Under a lock of the key, since a comparison and a rename are two steps. */
  async #replace(key: string, path: string, temporary: string, meta: Meta, ifMatch: string | undefined): Promise<void> {
    const lock = await BlobLock.acquire({
      path: join(this.#root, ".staging", `${createHash("sha256").update(key).digest("hex").slice(0, 32)}.lock`),
      clock: systemClock,
      isDone: async () => false,
    });
    try {
      if (ifMatch !== undefined && (await this.head(key))?.etag !== ifMatch) throw stale(key);
      await rename(temporary, path);
      await writeFileAtomic(`${path}${META}`, JSON.stringify(meta));
      await syncDirectory(dirname(path));
    } finally {
      await lock?.release();
    }
  }

  async head(key: string): Promise<ObjectInfo | null> {
    const path = this.#path(key);
    const found = await stat(path).catch(() => null);
    if (found === null || !found.isFile()) return null;
    // A crash between object and description leaves an object whose digests are not known.
    const meta = await readFile(`${path}${META}`, "utf8").then(
      (text) => JSON.parse(text) as Meta,
      () => null,
    );
    return {
      key,
      bytes: found.size,
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
    const info = await this.head(key);
    if (info === null) throw notFound(key, this.describe());
    const stream = createReadStream(this.#path(key), {
      highWaterMark: 1 << 20,
      ...(range === undefined
        ? {}
        : { start: range.start, ...(range.end === undefined ? {} : { end: range.end - 1 }) }),
      ...(signal === undefined ? {} : { signal }),
    });
    return { info, body: range === undefined ? verified(stream, info) : stream };
  }

  async *list(prefix: string): AsyncIterable<ObjectInfo> {
    for (const key of await listFiles(this.#root)) {
      if (
        !key.startsWith(prefix) ||
        key.endsWith(META) ||
        key.startsWith(".staging/") ||
        /(^|\/)\.[^/]*\.tmp$/.test(key)
      )
        continue;
      const info = await this.head(key);
      if (info !== null) yield info;
    }
  }

  async delete(key: string): Promise<void> {
    const path = this.#path(key);
    await rm(path, { force: true });
    await rm(`${path}${META}`, { force: true });
  }

  async copy(from: string, to: string): Promise<ObjectInfo> {
    const { info, body } = await this.get(from);
    return this.put(to, body, { metadata: info.metadata });
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
