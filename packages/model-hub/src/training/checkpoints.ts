import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "../internal/write-file.js";

const DIGEST_BYTES = 32;
/** The newest and the one before it, should the newest turn out damaged. */
const KEPT = 2;
const NAME = /^checkpoint-(\d{8})-(\d{8})\.bin$/;
const nameOf = (fence: number, count: number) =>
  `checkpoint-${String(fence).padStart(8, "0")}-${String(count).padStart(8, "0")}.bin`;

/**
 * Checkpoints of one run: the SHA-256 of the content, then the content, written whole or not at all. Names begin with the lease's fence, so
 * that what a worker writes that has lost its lease is older than anything of its successor.
 */
export class Checkpoints {
  readonly #directory: string;
  readonly #fence: number;
  #count = 0;

  constructor({ directory, fence }: { directory: string; fence: number }) {
    this.#directory = directory;
    this.#fence = fence;
  }

  /** @returns the file's name */
  async save(bytes: Uint8Array): Promise<string> {
    await mkdir(this.#directory, { recursive: true });
    const content = Buffer.concat([createHash("sha256").update(bytes).digest(), bytes]);
    const saved = nameOf(this.#fence, ++this.#count);
    await writeFileAtomic(join(this.#directory, saved), content);
    for (const name of (await this.#names()).slice(KEPT)) await rm(join(this.#directory, name), { force: true });
    return saved;
  }

  /** The newest valid checkpoint, null when there is none; `damaged` counts the newer ones that are not valid. */
  async load(): Promise<{ bytes: Uint8Array | null; damaged: number }> {
    let damaged = 0;
    for (const name of await this.#names()) {
      const content = await readFile(join(this.#directory, name));
      const bytes = content.subarray(DIGEST_BYTES);
      const digest = createHash("sha256").update(bytes).digest();
      if (content.length >= DIGEST_BYTES && digest.equals(content.subarray(0, DIGEST_BYTES))) return { bytes, damaged };
      damaged++;
    }
    return { bytes: null, damaged };
  }

  /** Newest first. */
  async #names(): Promise<string[]> {
    const names = await readdir(this.#directory).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return [];
      throw error;
    });
    return names
      .filter((name) => NAME.test(name))
      .sort()
      .reverse();
  }
}
