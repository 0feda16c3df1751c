import { createHash, randomBytes } from "node:crypto";
import { createReadStream, createWriteStream, type Dirent } from "node:fs";
import { link, mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { HubError } from "../errors.js";
import { syncDirectory } from "../internal/write-file.js";
import type { BlobStore } from "./blob-store.js";
import type { CollectableStore } from "./collect-garbage.js";

/** What the registry needs of an object store, in a folder: each object appears whole, flushed to disk, or not at all. */
export class FolderBlobStore implements BlobStore, CollectableStore {
  readonly #root: string;

  constructor({ root }: { root: string }) {
    this.#root = root;
  }

  async put(
    key: string,
    stream: AsyncIterable<Uint8Array>,
    { sha256, ifAbsent = false }: { sha256?: string; ifAbsent?: boolean } = {},
  ): Promise<void> {
    const path = join(this.#root, key);
    if (ifAbsent && (await this.head(key)) !== null) return;
    await mkdir(dirname(path), { recursive: true });
    const temporary = `${path}.${randomBytes(4).toString("hex")}.tmp`;
    const hash = createHash("sha256");
    const hashing = new Transform({
      transform(chunk: Uint8Array, _encoding, done) {
        hash.update(chunk);
        done(null, chunk);
      },
    });
    try {
      await pipeline(stream, hashing, createWriteStream(temporary, { flags: "wx", flush: true }));
      const found = hash.digest("hex");
      if (sha256 !== undefined && found !== sha256) {
        throw new HubError({
          code: "INTEGRITY",
          message: `${key} has SHA-256 ${found}, expected ${sha256}: the file changed while it was read. Nothing was stored.`,
          details: { key, expected: sha256, found },
        });
      }
      if (ifAbsent) {
        await link(temporary, path).catch((error: NodeJS.ErrnoException) => {
          if (error.code !== "EEXIST") throw error;
        });
      } else await rename(temporary, path);
      await syncDirectory(dirname(path));
    } finally {
      // After a rename there is nothing left to remove.
      await rm(temporary, { force: true });
    }
  }

  async get(key: string): Promise<AsyncIterable<Uint8Array>> {
    return createReadStream(join(this.#root, key), { highWaterMark: 1 << 20 });
  }

  async head(key: string): Promise<{ readonly bytes: number } | null> {
    try {
      return { bytes: (await stat(join(this.#root, key))).size };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
      throw error;
    }
  }

  async *list(
    prefix: string,
  ): AsyncGenerator<{ readonly key: string; readonly bytes: number; readonly modifiedMs: number }> {
    const directory = join(this.#root, prefix);
    let entries: Dirent[];
    try {
      entries = await readdir(directory, { withFileTypes: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
      throw error;
    }
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const key = `${prefix}${entry.name}`;
      if (entry.isDirectory()) yield* this.list(`${key}/`);
      else if (!entry.name.endsWith(".tmp")) {
        const { size, mtimeMs } = await stat(join(this.#root, key));
        yield { key, bytes: size, modifiedMs: mtimeMs };
      }
    }
  }

  delete(key: string): Promise<void> {
    return rm(join(this.#root, key), { force: true });
  }
}
