import { createHash, randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { link, mkdir, open, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { BlobStore } from "../src/registry/blob-store.js";

/** The least that the registry asks of a store: a folder, for tests in many processes. */
export function folderBlobs(root: string): BlobStore {
  return {
    async put(key, stream, { sha256, ifAbsent = false } = {}) {
      const path = join(root, key);
      await mkdir(dirname(path), { recursive: true });
      const temporary = `${path}.${randomBytes(4).toString("hex")}`;
      const hash = createHash("sha256");
      const file = await open(temporary, "wx");
      for await (const chunk of stream) {
        hash.update(chunk);
        await file.write(chunk);
      }
      await file.close();
      try {
        if (sha256 !== undefined && hash.digest("hex") !== sha256) throw new Error(`${key} has another digest`);
        if (ifAbsent) {
          await link(temporary, path).catch((error) => {
            if (error.code !== "EEXIST") throw error;
          });
        } else await rename(temporary, path);
      } finally {
        await rm(temporary, { force: true });
      }
    },
    get: async (key) => createReadStream(join(root, key)),
    head: async (key) =>
      stat(join(root, key)).then(
        ({ size }) => ({ bytes: size }),
        () => null,
      ),
    delete: (key) => rm(join(root, key), { force: true }),
  };
}
