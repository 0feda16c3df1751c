import { createHash } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { writeFileAtomic } from "../internal/write-file.js";

const recordSchema = z.object({
  path: z.string(),
  bytes: z.number(),
  mtimeMs: z.number(),
  ino: z.number(),
  sha256: z.string(),
  md5: z.string().nullable(),
  gitSha1: z.string().nullable(),
  verifiedAt: z.string(),
});
export type VerificationRecord = z.infer<typeof recordSchema>;

/**
 * Which files on this machine were hashed, and with what result. A file whose length, time and inode are those of its record need not be
 * hashed again: that makes the second `ensure` of a 2.5 GB checkpoint instant, also for one that Python's client (which compares sizes
 * only) put into the shared cache. Kept outside that cache, which lists unknown folders as damage.
 */
export class VerificationRecords {
  readonly #directory: string;
  constructor({ directory }: { directory: string }) {
    this.#directory = directory;
  }

  #pathOf(path: string): string {
    return join(this.#directory, `${createHash("sha256").update(path).digest("hex").slice(0, 40)}.json`);
  }

  /** The record of `path` if the file is still the one that was hashed, else null. */
  async find(path: string): Promise<VerificationRecord | null> {
    try {
      const [text, found] = await Promise.all([readFile(this.#pathOf(path), "utf8"), stat(path)]);
      const record = recordSchema.parse(JSON.parse(text));
      const isSame =
        record.path === path &&
        record.bytes === found.size &&
        record.mtimeMs === found.mtimeMs &&
        record.ino === Number(found.ino);
      return isSame ? record : null;
    } catch {
      // No record, or an unreadable one: the file is hashed again.
      return null;
    }
  }

  /** Notes a result. Where nothing can be written (a read-only machine) the file is simply hashed again next time. */
  async note(
    path: string,
    digests: { sha256: string; md5: string | null; gitSha1: string | null },
    verifiedAt: string,
  ): Promise<void> {
    const found = await stat(path);
    const record: VerificationRecord = {
      path,
      bytes: found.size,
      mtimeMs: found.mtimeMs,
      ino: Number(found.ino),
      ...digests,
      verifiedAt,
    };
    await writeFileAtomic(this.#pathOf(path), JSON.stringify(record)).catch(() => {});
  }
}
