import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdir, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { VerificationRecords } from "../cache/verification-records.js";
import { hashFile } from "../download/hash-file.js";
import { HubError } from "../errors.js";
import { syncDirectory, temporaryBeside } from "../internal/write-file.js";
import { blobKey, type ObjectStore } from "../stores/object-store.js";
import type { LayerFile } from "./types.js";

/**
 * The file on this machine, its bytes proven: by an earlier check while the file is the same, by hashing it, else by fetching it anew from
 * the store while hashing. A damaged copy is replaced.
 *
 * @throws {@link HubError} INTEGRITY when the store's own bytes are damaged, NOT_FOUND when it lost them
 */
export async function localCopy({
  store,
  directory,
  file: { name, bytes, sha256 },
  records,
  now,
  signal,
}: {
  store: ObjectStore;
  directory: string;
  file: LayerFile;
  records: VerificationRecords;
  now: () => number;
  signal?: AbortSignal | undefined;
}): Promise<string> {
  const path = join(directory, name);
  const note = () => records.note(path, { sha256, md5: null, gitSha1: null }, new Date(now()).toISOString());
  if ((await records.find(path))?.sha256 === sha256) return path;
  const found = await stat(path).catch(() => null);
  if (found?.size === bytes && (await hashFile({ path, signal })).sha256 === sha256) {
    await note();
    return path;
  }
  await mkdir(directory, { recursive: true });
  const temporary = temporaryBeside(path);
  try {
    const { body } = await store.get(blobKey(sha256), signal === undefined ? {} : { signal });
    const hash = createHash("sha256");
    const hashed = Readable.from(
      (async function* () {
        for await (const piece of body) {
          hash.update(piece);
          yield piece;
        }
      })(),
    );
    await pipeline(hashed, createWriteStream(temporary, { flags: "wx", flush: true }), { signal });
    const actual = hash.digest("hex");
    if (actual !== sha256) {
      throw new HubError({
        code: "INTEGRITY",
        message: `${name} in ${store.describe()} has SHA-256 ${actual}, expected ${sha256}. The stored object is damaged: delete ${blobKey(sha256)} and push the file again.`,
        details: { key: blobKey(sha256), expected: sha256, actual },
      });
    }
    await rename(temporary, path);
  } finally {
    // After a rename there is nothing left to remove.
    await rm(temporary, { force: true });
  }
  await syncDirectory(dirname(path));
  await note();
  return path;
}
