import { link, mkdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname } from "node:path";
import type { HubClock } from "../internal/clock.js";
import { temporaryBeside } from "../internal/write-file.js";
import { ABANDONED_AFTER_MS } from "./partial-file.js";

/** Who holds a lock: enough to see whether that process still lives, and what it leaves behind if not. */
interface Holder {
  readonly pid: number;
  readonly host: string;
  /** Path of the partial file being written. */
  readonly partial: string | null;
}

const HEARTBEAT_MS = 10_000;
const POLL_MS = 200;

/**
 * A best-effort lock: it spares two processes the same download, and tells the next one at once that a holder was killed and which partial
 * file it left. Nothing depends on it: partial files have unique names and blobs appear by rename.
 */
export class BlobLock {
  readonly #path: string;
  readonly #timer: NodeJS.Timeout;
  #holder: Holder;
  /** What a killed holder was writing; free to claim. */
  readonly abandoned: string | null;

  private constructor(path: string, holder: Holder, abandoned: string | null) {
    this.#path = path;
    this.#holder = holder;
    this.abandoned = abandoned;
    this.#timer = setInterval(() => {
      const now = new Date();
      void utimes(path, now, now).catch(() => {});
    }, HEARTBEAT_MS);
    this.#timer.unref();
  }

  /**
   * Waits until the lock is free or its holder is dead.
   * @param isDone - asked while waiting: what the holder was doing is finished, so the lock is not needed
   * @returns the lock, or null when `isDone` said yes or the folder cannot be written (a read-only cache)
   */
  static async acquire({
    path,
    clock,
    signal,
    isDone,
  }: {
    path: string;
    clock: HubClock;
    signal?: AbortSignal | undefined;
    isDone: () => Promise<boolean>;
  }): Promise<BlobLock | null> {
    const holder: Holder = { pid: process.pid, host: hostname(), partial: null };
    let abandoned: string | null = null;
    try {
      await mkdir(dirname(path), { recursive: true });
      for (;;) {
        signal?.throwIfAborted();
        if (await create(path, holder)) return new BlobLock(path, holder, abandoned);
        const found = await readHolder(path);
        if (found === null) continue;
        if (!isAlive(found)) {
          // One of several waiters wins the rename; whoever moves a fresh lock by mistake only causes double work.
          const moved = temporaryBeside(path);
          const isMine = await rename(path, moved).then(
            () => true,
            () => false,
          );
          if (isMine) await rm(moved, { force: true });
          abandoned = found.holder?.partial ?? abandoned;
          continue;
        }
        if (await isDone()) return null;
        await clock.sleep(POLL_MS, signal);
      }
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EACCES" || code === "EROFS" || code === "EPERM") return null;
      throw error;
    }
  }

  /** Notes which partial file is being written. */
  async note(partial: string): Promise<void> {
    this.#holder = { ...this.#holder, partial };
    const temporary = temporaryBeside(this.#path);
    await writeFile(temporary, JSON.stringify(this.#holder), { flag: "wx" });
    await rename(temporary, this.#path);
  }

  async release(): Promise<void> {
    clearInterval(this.#timer);
    const found = await readHolder(this.#path);
    if (found?.holder?.pid === process.pid && found.holder.host === hostname()) await rm(this.#path, { force: true });
  }
}

/** Writes the holder elsewhere and links it to its name, so that no reader sees an empty lock. */
async function create(path: string, holder: Holder): Promise<boolean> {
  const temporary = temporaryBeside(path);
  await writeFile(temporary, JSON.stringify(holder), { flag: "wx" });
  try {
    await link(temporary, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  } finally {
    await rm(temporary, { force: true });
  }
}

/** Holder of a lock and when it last gave a sign of life; null when there is no lock. */
async function readHolder(path: string): Promise<{ holder: Holder | null; mtimeMs: number } | null> {
  try {
    const [text, { mtimeMs }] = await Promise.all([readFile(path, "utf8"), stat(path)]);
    try {
      return { holder: JSON.parse(text) as Holder, mtimeMs };
    } catch {
      return { holder: null, mtimeMs };
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

/** Heartbeats are compared with the machine's own clock: files carry it, whatever clock the caller has. */
function isAlive({ holder, mtimeMs }: { holder: Holder | null; mtimeMs: number }): boolean {
  if (Date.now() - mtimeMs > ABANDONED_AFTER_MS || holder === null) return false;
  if (holder.host !== hostname()) return true;
  try {
    process.kill(holder.pid, 0);
    return true;
  } catch (error) {
    // EPERM: it lives, under another user.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
