import { randomBytes } from "node:crypto";
import { createWriteStream } from "node:fs";
import { cp, mkdir, readdir, readFile, readlink, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { writeFileAtomic } from "../internal/write-file.js";
import { type BlobStore, blobKey } from "./blob-store.js";
import { canonicalJson } from "./canonical-json.js";
import type { ActiveVersion, VersionDetail } from "./types.js";
import { VERSION_NAME } from "./version-name.js";

/** Two processes that write one folder meet once; more often is no coincidence. */
const PLACE_TRIES = 5;
const TEMPORARY = /^\.v\d{8}_\d{6}\.[0-9a-f]{8}\.tmp$/;

/**
 * The folders beside the database, for people and for programs that read files: `versions/<v>/` with the files, `metadata.json` and
 * `README.md`, `active_model.json`, `active` -> `versions/<v>`. All of it can be rebuilt; the database is the truth. The model `default`
 * lies in the root, another one in `models/<name>`.
 */
export class DerivedFiles {
  readonly #root: string;
  readonly #store: BlobStore;
  readonly #renderCard: (version: VersionDetail, previous: string) => string;

  constructor({
    root,
    store,
    renderCard,
  }: { root: string; store: BlobStore; renderCard: (version: VersionDetail, previous: string) => string }) {
    this.#root = root;
    this.#store = store;
    this.#renderCard = renderCard;
  }

  modelDirectory(model: string): string {
    return model === "default" ? this.#root : join(this.#root, "models", model);
  }

  versionDirectory(model: string, version: string): string {
    return join(this.modelDirectory(model), "versions", version);
  }

  /** Writes the version's folder beside its place and renames it; an intact one stays. @returns whether it was written */
  async writeVersion(version: VersionDetail, signal?: AbortSignal): Promise<boolean> {
    const target = this.versionDirectory(version.model, version.version);
    if (await this.#isIntact(version, target)) return false;
    const temporary = join(dirname(target), `.${version.version}.${randomBytes(4).toString("hex")}.tmp`);
    try {
      await mkdir(temporary, { recursive: true });
      // Not flushed: a crash leaves at worst a folder that repair() writes again.
      for (const file of version.files) {
        const path = join(temporary, file.path);
        await mkdir(dirname(path), { recursive: true });
        await pipeline(Readable.from(await this.#store.get(blobKey(file.sha256))), createWriteStream(path), { signal });
      }
      // A model's own files win over the ones made here.
      const own = new Set(version.files.map(({ path }) => path));
      if (!own.has("metadata.json")) await writeFile(join(temporary, "metadata.json"), metadataText(version));
      if (!own.has("README.md")) {
        const previous = (await readFile(join(target, "README.md"), "utf8").catch(ignoreAbsent)) ?? "";
        await writeFile(join(temporary, "README.md"), this.#renderCard(version, previous));
      }
      return await this.#place(version, temporary, target);
    } finally {
      // After a rename there is nothing left to remove.
      await rm(temporary, { recursive: true, force: true });
    }
  }

  /** Renames a finished folder to its place; another process may put its own there or take it away meanwhile. */
  async #place(version: VersionDetail, temporary: string, target: string): Promise<boolean> {
    for (let tries = 1; ; tries++) {
      try {
        await rename(temporary, target);
        return true;
      } catch (error) {
        if (!isNotEmpty(error) || tries >= PLACE_TRIES) throw error;
        if (await this.#isIntact(version, target)) return false;
        await moveAway(target);
      }
    }
  }

  async #isIntact(version: VersionDetail, directory: string): Promise<boolean> {
    for (const { path, bytes } of version.files) {
      const found = await stat(join(directory, path)).catch(ignoreAbsent);
      if (found?.size !== bytes) return false;
    }
    if (version.files.some(({ path }) => path === "metadata.json")) return true;
    const written = await readFile(join(directory, "metadata.json"), "utf8").catch(ignoreAbsent);
    return written === metadataText(version);
  }

  async removeVersion(model: string, version: string): Promise<void> {
    await moveAway(this.versionDirectory(model, version));
  }

  /**
   * Writes the pointer files, then asks again: whoever wrote last has looked after writing, so two processes end with the newer pointer.
   * @param read - the active version according to the database
   */
  async writeActive(model: string, read: () => Promise<ActiveVersion | null>): Promise<void> {
    for (let wanted = await read(); ; ) {
      await this.#writePointer(model, wanted);
      const now = await read();
      if (now?.version === wanted?.version && now?.activated_at === wanted?.activated_at) return;
      wanted = now;
    }
  }

  async #writePointer(model: string, active: ActiveVersion | null): Promise<void> {
    const directory = this.modelDirectory(model);
    const link = join(directory, "active");
    const pointer = join(directory, "active_model.json");
    if (active === null) {
      await rm(pointer, { force: true });
      await rm(link, { recursive: true, force: true });
      return;
    }
    const path = `versions/${active.version}`;
    await linkDirectory(path, link);
    const document = {
      model,
      version: active.version,
      activated_at: active.activated_at,
      activated_by: active.activated_by,
      metrics: active.metrics,
      path,
    };
    await writeFileAtomic(pointer, `${JSON.stringify(document, null, 2)}\n`);
  }

  /** Names in `versions/`: versions, and what interrupted writes left. */
  async listFolders(model: string): Promise<{ versions: string[]; temporary: string[] }> {
    const names = (await readdir(join(this.modelDirectory(model), "versions")).catch(ignoreAbsent)) ?? [];
    return {
      versions: names.filter((name) => VERSION_NAME.test(name)),
      temporary: names.filter((name) => TEMPORARY.test(name)),
    };
  }

  /** Removes what an interrupted write left, unless it is so young that its writer may still be at work. */
  async removeTemporary(model: string, name: string, { olderThanMs, nowMs }: { olderThanMs: number; nowMs: number }) {
    const path = join(this.modelDirectory(model), "versions", name);
    const found = await stat(path).catch(ignoreAbsent);
    if (found === undefined || nowMs - found.mtimeMs < olderThanMs) return false;
    await rm(path, { recursive: true, force: true });
    return true;
  }
}

/** Removes a version's folder: away at once, then emptied, so that no reader sees half of it. */
async function moveAway(folder: string): Promise<void> {
  const aside = join(dirname(folder), `.${basename(folder)}.${randomBytes(4).toString("hex")}.tmp`);
  try {
    await rename(folder, aside);
  } catch (error) {
    if (isAbsent(error)) return;
    throw error;
  }
  await rm(aside, { recursive: true, force: true });
}

/** Text of `metadata.json`: the manifest, for reading. */
export const metadataText = (version: VersionDetail): string =>
  `${JSON.stringify(JSON.parse(canonicalJson(version.manifest)), null, 2)}\n`;

async function linkDirectory(target: string, link: string): Promise<void> {
  if ((await readlink(link).catch(() => null)) === target) return;
  const temporary = `${link}.${randomBytes(4).toString("hex")}.tmp`;
  await mkdir(dirname(link), { recursive: true });
  try {
    await symlink(target, temporary, "dir");
  } catch (error) {
    // Windows without the right to make links: a copy does.
    if ((error as NodeJS.ErrnoException).code !== "EPERM") throw error;
    await cp(join(dirname(link), target), temporary, { recursive: true });
  }
  try {
    await rename(temporary, link);
  } catch (error) {
    if (!isNotEmpty(error)) throw error;
    // A copied folder cannot be replaced by a rename.
    await rm(link, { recursive: true, force: true });
    await rename(temporary, link);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

const isAbsent = (error: unknown): boolean => {
  const { code } = error as NodeJS.ErrnoException;
  return code === "ENOENT" || code === "ENOTDIR";
};
const isNotEmpty = (error: unknown): boolean => {
  const { code } = error as NodeJS.ErrnoException;
  return code === "ENOTEMPTY" || code === "EEXIST" || code === "EISDIR";
};
function ignoreAbsent(error: unknown): undefined {
  if (isAbsent(error)) return undefined;
  throw error;
}
