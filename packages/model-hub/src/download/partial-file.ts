import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open as openFile, rename, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { listNames } from "../cache/cache-folder.js";
import type { HubClock } from "../internal/clock.js";
import { syncDirectory } from "../internal/write-file.js";

export type OpenFile = (path: string, flags: string | number) => Promise<FileHandle>;

/** A partial file that nobody has touched for so long has no living writer: writers touch theirs with every chunk. */
export const ABANDONED_AFTER_MS = 60_000;
/** A writer that paused for longer may have been taken for dead, so it looks before it writes on. */
const STALL_MS = 30_000;

/** Length and position of what is written past the page cache are multiples of this: the largest block of disks in use. */
const BLOCK_BYTES = 4096;
/** What a file system answers that writes through the page cache only, or to memory that does not begin at a page. */
const UNSUPPORTED: readonly (string | undefined)[] = ["EINVAL", "ENOTSUP", "EOPNOTSUPP"];

/** Somebody else claimed the partial file while its writer slept. */
export class PartialFileLostError extends Error {
  override readonly name = "PartialFileLostError";
}

/**
 * A file being downloaded: `{name}.{8 hex}.incomplete` beside the blob it will become. The name is unique to one writer, so no lock is
 * needed for correctness; an abandoned one is taken over by renaming it to a name of one's own, which exactly one process can win.
 */
export class PartialFile {
  readonly path: string;
  /** Bytes taken over from an earlier writer. */
  readonly inherited: number;
  readonly #handle: FileHandle;
  readonly #clock: HubClock;
  readonly #open: OpenFile;
  /** Writes past the page cache. */
  #direct: FileHandle | null = null;
  #lastWriteMs: number;

  private constructor({
    path,
    handle,
    inherited,
    clock,
    open,
  }: { path: string; handle: FileHandle; inherited: number; clock: HubClock; open: OpenFile }) {
    this.path = path;
    this.inherited = inherited;
    this.#handle = handle;
    this.#clock = clock;
    this.#open = open;
    this.#lastWriteMs = clock.now();
  }

  /**
   * Claims the largest abandoned partial file of `name`, or makes a new one.
   * @param abandoned - path of a partial file whose writer is known to be dead
   */
  static async open({
    directory,
    name,
    clock,
    abandoned = null,
    open = openFile,
  }: {
    directory: string;
    name: string;
    clock: HubClock;
    abandoned?: string | null;
    open?: OpenFile;
  }): Promise<PartialFile> {
    const own = join(directory, `${name}.${randomBytes(4).toString("hex")}.incomplete`);
    const candidates: { path: string; size: number }[] = [];
    for (const entry of await listNames(directory)) {
      if (!entry.startsWith(`${name}.`) || !entry.endsWith(".incomplete")) continue;
      const path = join(directory, entry);
      const found = await stat(path).catch(() => null);
      if (found === null || found.size === 0) continue;
      if (path === abandoned || clock.now() - found.mtimeMs > ABANDONED_AFTER_MS)
        candidates.push({ path, size: found.size });
    }
    candidates.sort((a, b) => b.size - a.size);
    for (const { path } of candidates) {
      try {
        await rename(path, own);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOENT") continue;
        throw error;
      }
      const handle = await open(own, "r+");
      const now = new Date(clock.now());
      await handle.utimes(now, now);
      return new PartialFile({ path: own, handle, inherited: (await handle.stat()).size, clock, open });
    }
    const handle = await open(own, constants.O_CREAT | constants.O_EXCL | constants.O_RDWR);
    return new PartialFile({ path: own, handle, inherited: 0, clock, open });
  }

  get handle(): FileHandle {
    return this.#handle;
  }

  /**
   * Lets whole blocks go from page-aligned memory straight to the disk (`O_DIRECT`), where system and file system can: nothing is copied, no
   * page of the cache is needed for a file that may be larger than it, and little is left to sync. Where they cannot, nothing changes.
   */
  async bypassCache(): Promise<void> {
    // Not of macOS and Windows.
    const flag: number | undefined = constants.O_DIRECT;
    if (flag === undefined || this.#direct !== null) return;
    try {
      this.#direct = await this.#open(this.path, constants.O_WRONLY | flag);
    } catch (error) {
      if (!isUnsupported(error)) throw error;
    }
  }

  /** @throws {@link PartialFileLostError} when the file was claimed during a pause */
  async write(bytes: Uint8Array, position: number): Promise<void> {
    if (this.#clock.now() - this.#lastWriteMs > STALL_MS) await this.#assertOwned();
    for (let at = 0; at < bytes.length; ) at += await this.#writeSome(bytes.subarray(at), position + at);
    this.#lastWriteMs = this.#clock.now();
  }

  async #writeSome(bytes: Uint8Array, position: number): Promise<number> {
    const direct = position % BLOCK_BYTES === 0 && bytes.length % BLOCK_BYTES === 0 ? this.#direct : null;
    if (direct !== null) {
      try {
        return (await direct.write(bytes, 0, bytes.length, position)).bytesWritten;
      } catch (error) {
        if (!isUnsupported(error)) throw error;
        // Another write may have met the same.
        if (this.#direct === direct) await this.#closeDirect();
      }
    }
    return (await this.#handle.write(bytes, 0, bytes.length, position)).bytesWritten;
  }

  async #closeDirect(): Promise<void> {
    const direct = this.#direct;
    this.#direct = null;
    await direct?.close();
  }

  async #close(): Promise<void> {
    await this.#closeDirect();
    await this.#handle.close();
  }

  async #assertOwned(): Promise<void> {
    const [mine, named] = await Promise.all([this.#handle.stat(), stat(this.path).catch(() => null)]);
    if (named === null || named.ino !== mine.ino || named.dev !== mine.dev) throw new PartialFileLostError(this.path);
  }

  async truncate(length = 0): Promise<void> {
    await this.#handle.truncate(length);
  }

  /** Makes the file durable and gives it its final name, replacing an equal one. */
  async publish(path: string): Promise<void> {
    await this.#assertOwned();
    await this.#handle.sync();
    await this.#close();
    await rename(this.path, path);
    await syncDirectory(join(path, ".."));
  }

  /** Closes and keeps the file for a later attempt, marked by its time as free to claim. An empty one is removed. */
  async keep(): Promise<void> {
    const { size } = await this.#handle.stat();
    await this.#close();
    if (size === 0) await rm(this.path, { force: true });
    else await utimes(this.path, new Date(0), new Date(0)).catch(() => {});
  }

  async discard(): Promise<void> {
    await this.#close();
    await rm(this.path, { force: true });
  }
}

const isUnsupported = (error: unknown): boolean => UNSUPPORTED.includes((error as NodeJS.ErrnoException).code);
