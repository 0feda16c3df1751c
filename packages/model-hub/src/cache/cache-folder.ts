import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import {
  access,
  copyFile,
  link,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  symlink,
  unlink,
} from "node:fs/promises";
import { dirname, join, relative, resolve, sep } from "node:path";
import { assertSafeRelativePath } from "../internal/safe-path.js";
import { writeFileAtomic } from "../internal/write-file.js";
import { formatTree, parseTree, type Tree } from "./tree.js";

/** The signature that backup programs look for. */
const CACHEDIR_TAG = `Signature: 8a477f597d28d172789f06886806bc55
# This file is a cache directory tag created by @seg/model-hub, in the layout of huggingface_hub.
# For information about cache directory tags, see https://bford.info/cachedir/
`;

/** Ends the names of files that are not at their place yet. */
export const TEMPORARY = ".tmp";

/** A file of a snapshot: where it appears and which blob it is. */
export interface SnapshotFile {
  /** Relative to the snapshot, `/` separated. */
  readonly path: string;
  /** Absolute; the file itself where it is no link. */
  readonly blob: string;
  /** False for a link whose blob is gone. */
  readonly exists: boolean;
  readonly isLink: boolean;
}

/**
 * One model's folder in the cache layout of Python's huggingface_hub: `blobs/{etag}`, `refs/{name}`, `snapshots/{commit}/{path}`,
 * `.no_exist/{commit}/{path}`, `trees/{commit}.json`. Order of writing is blob, snapshot, tree, ref, so that a ref never names what is not there.
 */
export class CacheFolder {
  /** `models--owner--name`, `civitai--1234`, ... */
  readonly name: string;
  readonly root: string;
  readonly directory: string;
  readonly #useSymlinks: boolean;

  constructor({ root, name, useSymlinks = true }: { root: string; name: string; useSymlinks?: boolean }) {
    this.root = root;
    this.name = name;
    this.directory = join(root, name);
    this.#useSymlinks = useSymlinks;
  }

  get blobs(): string {
    return join(this.directory, "blobs");
  }

  blobPath(etag: string): string {
    return join(this.blobs, assertSafeRelativePath(normaliseEtag(etag), this.name));
  }

  /** Our lock of a blob. Python's `{etag}.lock` is held by `flock`, which Node lacks, and stays behind; ours has its own name. */
  lockPath(etag: string): string {
    return join(this.locks, `${assertSafeRelativePath(normaliseEtag(etag), this.name)}.seg.lock`);
  }

  get locks(): string {
    return join(this.root, ".locks", this.name);
  }

  /**
   * A name for a file that is written before it is moved to its place. Not beside that place: Python's scan takes whatever lies in `refs`
   * for a ref, in `snapshots` for a file and in the root for a model, so that what a killed writer left there would be damage to it. It does
   * not look into `.locks`.
   */
  async #temporary(): Promise<string> {
    await mkdir(this.locks, { recursive: true });
    return join(this.locks, `${randomBytes(8).toString("hex")}${TEMPORARY}`);
  }

  async #write(path: string, content: string, options: { ifAbsent?: boolean } = {}): Promise<void> {
    await writeFileAtomic(path, content, { ...options, temporary: await this.#temporary() });
  }

  snapshotPath(revision: string): string {
    return join(this.directory, "snapshots", assertSafeRelativePath(revision, this.name));
  }

  filePath(revision: string, path: string): string {
    return join(this.snapshotPath(revision), assertSafeRelativePath(path, this.name));
  }

  /** Makes the folders and the tag of the cache. Quiet where they exist, also in a read-only cache. */
  async prepare(): Promise<void> {
    // First of all: a model's folder without it is damage to Python's scan.
    await mkdir(join(this.directory, "snapshots"), { recursive: true });
    await mkdir(this.blobs, { recursive: true });
    await mkdir(join(this.directory, "refs"), { recursive: true });
    const tag = join(this.root, "CACHEDIR.TAG");
    if (!(await isPresent(tag))) await this.#write(tag, CACHEDIR_TAG, { ifAbsent: true }).catch(() => {});
  }

  /** Commit that a branch or tag named when it was last seen, or null. */
  async readRef(name: string): Promise<string | null> {
    const text = await readText(join(this.directory, "refs", assertSafeRelativePath(name, this.name)));
    return text?.trim() || null;
  }

  async writeRef(name: string, revision: string): Promise<void> {
    const path = join(this.directory, "refs", assertSafeRelativePath(name, this.name));
    if ((await readText(path)) !== revision) await this.#write(path, revision);
  }

  async refs(): Promise<ReadonlyMap<string, string>> {
    const found = new Map<string, string>();
    for (const path of await listFiles(join(this.directory, "refs"))) {
      const revision = await this.readRef(path);
      if (revision !== null) found.set(path, revision);
    }
    return found;
  }

  async revisions(): Promise<string[]> {
    return (await listNames(join(this.directory, "snapshots"))).filter((name) => !name.startsWith(".")).sort();
  }

  async readTree(revision: string): Promise<Tree | null> {
    const text = await readText(this.#treePath(revision));
    return text === null ? null : parseTree(text);
  }

  async writeTree(revision: string, tree: Tree): Promise<void> {
    // A commit never changes: what is there is right, unless it is damaged.
    if ((await this.readTree(revision)) === null) await this.#write(this.#treePath(revision), formatTree(tree));
  }

  #treePath(revision: string): string {
    return join(this.directory, "trees", `${assertSafeRelativePath(revision, this.name)}.json`);
  }

  /** Remembers that a file does not exist in a commit, so that nobody asks again. */
  async markMissing(revision: string, path: string): Promise<void> {
    const marker = this.#missingPath(revision, path);
    if (!(await isPresent(marker))) await this.#write(marker, "");
  }

  async isMarkedMissing(revision: string, path: string): Promise<boolean> {
    return isPresent(this.#missingPath(revision, path));
  }

  #missingPath(revision: string, path: string): string {
    const name = assertSafeRelativePath(`${revision}/${path}`, this.name);
    return join(this.directory, ".no_exist", name);
  }

  /**
   * Makes `path` of the snapshot be the blob: a relative link, or where links are switched off or refused (Windows without the right) a
   * real file, a hard link if the file system can. Replaces what was there in one step.
   * @returns absolute path in the snapshot
   */
  async link(revision: string, path: string, etag: string): Promise<string> {
    const pointer = this.filePath(revision, path);
    const blob = this.blobPath(etag);
    const target = relative(dirname(pointer), blob);
    await mkdir(dirname(pointer), { recursive: true });
    if (this.#useSymlinks && (await readLink(pointer)) === target) return pointer;
    const temporary = await this.#temporary();
    const isLinked = this.#useSymlinks && (await trySymlink(target, temporary));
    if (!isLinked) await link(blob, temporary).catch(() => copyFile(blob, temporary, constants.COPYFILE_FICLONE));
    try {
      await rename(temporary, pointer);
    } finally {
      // Renaming one hard link of a file onto another does nothing and leaves both names (POSIX).
      await rm(temporary, { force: true });
    }
    return pointer;
  }

  /** Every file of a snapshot, also in sub-folders (weights sit in `onnx/`), sorted by path. */
  async files(revision: string): Promise<SnapshotFile[]> {
    const snapshot = this.snapshotPath(revision);
    const files: SnapshotFile[] = [];
    for (const path of await listFiles(snapshot)) {
      const pointer = join(snapshot, path);
      const target = await readLink(pointer);
      const blob = target === null ? pointer : resolve(dirname(pointer), target);
      files.push({ path, blob, exists: await isPresent(blob), isLink: target !== null });
    }
    return files;
  }

  /** Removes one revision: its refs first, so that no moment shows a ref without a snapshot, then blobs nobody else uses. */
  async removeRevision(revision: string): Promise<{ freedBytes: number }> {
    for (const [name, at] of await this.refs()) {
      if (at === revision) await unlink(join(this.directory, "refs", name));
    }
    const blobs = new Set((await this.files(revision)).filter((file) => file.isLink).map(({ blob }) => blob));
    await rm(this.snapshotPath(revision), { recursive: true, force: true });
    await rm(this.#treePath(revision), { force: true });
    await rm(join(this.directory, ".no_exist", revision), { recursive: true, force: true });
    for (const other of await this.revisions()) for (const file of await this.files(other)) blobs.delete(file.blob);
    let freedBytes = 0;
    for (const blob of blobs) {
      const size = await stat(blob).then(
        (found) => found.size,
        () => 0,
      );
      await rm(blob, { force: true });
      freedBytes += size;
    }
    if ((await this.revisions()).length === 0) {
      await rm(this.directory, { recursive: true, force: true });
      await rm(this.locks, { recursive: true, force: true });
    }
    return { freedBytes };
  }
}

/** An ETag as the cache names blobs: without quotes and weakness mark. */
export const normaliseEtag = (etag: string): string => etag.replace(/^W\//, "").replace(/^"|"$/g, "");

/** Names in a folder; none where it is absent. */
export async function listNames(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return [];
    throw error;
  }
}

/** Relative, `/` separated paths of all files and links below `directory`, sorted; none where it is absent. Links are not followed. */
export async function listFiles(directory: string): Promise<string[]> {
  const found: string[] = [];
  const walk = async (at: string): Promise<void> => {
    let entries: import("node:fs").Dirent[];
    try {
      entries = await readdir(at, { withFileTypes: true });
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ENOENT" || code === "ENOTDIR") return;
      throw error;
    }
    for (const entry of entries) {
      const path = join(at, entry.name);
      if (entry.isDirectory()) await walk(path);
      else found.push(relative(directory, path).split(sep).join("/"));
    }
  };
  await walk(directory);
  return found.sort();
}

export async function isPresent(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

async function readText(path: string): Promise<string | null> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR" || code === "EISDIR") return null;
    throw error;
  }
}

/** Target of a link, or null for anything else. */
async function readLink(path: string): Promise<string | null> {
  try {
    return (await lstat(path)).isSymbolicLink() ? await readlink(path) : null;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

async function trySymlink(target: string, path: string): Promise<boolean> {
  try {
    await symlink(target, path);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EPERM" || code === "ENOTSUP" || code === "EOPNOTSUPP" || code === "ENOSYS") return false;
    throw error;
  }
}
