import { readdir } from "node:fs/promises";
import { basename, dirname, extname, join, posix, relative, resolve, sep } from "node:path";
import { loadSharp } from "../load-sharp.js";

/** Extensions of pictures that the decoders of this project read. */
export const IMAGE_EXTENSIONS: ReadonlySet<string> = new Set([
  ".jpg",
  ".jpeg",
  ".png",
  ".bmp",
  ".gif",
  ".webp",
  ".tif",
  ".tiff",
  ".avif",
]);

/** Whether a name ends like a picture's. */
export const isImageName = (name: string): boolean => IMAGE_EXTENSIONS.has(extname(name).toLowerCase());

/** Size in pixels of the upright picture, which is what annotation tools show. */
export type ReadImageSize = (path: string) => Promise<{ readonly width: number; readonly height: number }>;

/**
 * Upright size from the file's header, without decoding pixels.
 * @throws SharpMissingError
 */
export async function readImageSize(path: string): Promise<{ width: number; height: number }> {
  const sharp = await loadSharp("Reading the size of images");
  const { width, height, orientation = 1 } = await sharp(path).metadata();
  // EXIF orientations 5 to 8 swap the sides.
  return orientation >= 5 ? { width: height, height: width } : { width, height };
}

/** All files below a folder with forward slashes, sorted; hidden files and folders are left out. */
export async function listFiles(root: string): Promise<string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() || entry.isSymbolicLink())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).split(sep).join("/"))
    .filter((path) => !path.split("/").some((part) => part.startsWith(".")))
    .sort();
}

/** The pictures below a folder, found by path, name or stem. Only listed files are ever returned: a document cannot lead outside. */
export class ImageFiles {
  readonly root: string;
  readonly #paths: ReadonlySet<string>;
  readonly #byName = new Map<string, string[]>();
  readonly #byStem = new Map<string, string[]>();

  /** @param paths - relative to root, forward slashes */
  constructor(root: string, paths: readonly string[]) {
    this.root = resolve(root);
    const images = paths.filter(isImageName);
    this.#paths = new Set(images);
    for (const path of images) {
      const name = posix.basename(path);
      push(this.#byName, name, path);
      push(this.#byStem, name.slice(0, name.length - extname(name).length), path);
    }
  }

  get paths(): string[] {
    return [...this.#paths];
  }

  /**
   * The picture that an annotation file means: beside the file or from the root by the path it states, else the only one of that name or
   * of that path below some folder, else the only one of that stem (some tools drop or change the extension).
   *
   * @param stated - path or name in the annotation file; may have Windows separators
   * @param from - the annotation file, relative to the root
   * @returns path relative to the root; null where there is none; the candidates where there are several
   */
  find(stated: string, from: string): string | readonly string[] | null {
    const wanted = stated.replaceAll("\\", "/");
    const near = posix.dirname(from);
    for (const path of [posix.normalize(posix.join(near, wanted)), posix.normalize(wanted)]) {
      if (this.#paths.has(path)) return path;
    }
    const name = posix.basename(wanted);
    const stem = name.slice(0, name.length - extname(name).length);
    for (const candidates of [this.#byName.get(name), this.#byStem.get(stem), this.#byStem.get(name)]) {
      if (candidates === undefined) continue;
      if (candidates.length === 1) return candidates[0]!;
      // Exporters put the pictures below a folder that the stated path does not name.
      const below = candidates.filter((path) => path.endsWith(`/${posix.normalize(wanted)}`));
      if (below.length === 1) return below[0]!;
      return candidates.find((path) => posix.dirname(path) === near) ?? candidates;
    }
    return null;
  }
}

/**
 * The deepest folder that holds all paths, and the paths below it.
 * @example belowCommonFolder(["images/train/a.jpg", "images/val/b.jpg"]) // { folder: "images", names: ["train/a.jpg", "val/b.jpg"] }
 */
export function belowCommonFolder(paths: readonly string[]): { folder: string; names: string[] } {
  let common: string[] | null = null;
  for (const path of paths) {
    const parts = path.split("/").slice(0, -1);
    if (common === null) common = parts;
    else {
      let length = 0;
      while (length < common.length && common[length] === parts[length]) length++;
      common = common.slice(0, length);
    }
  }
  const folder = (common ?? []).join("/");
  return { folder, names: paths.map((path) => (folder === "" ? path : path.slice(folder.length + 1))) };
}

/** Reads sizes of several files at once; the result is in the order of the input, null where a file cannot be read. */
export async function readSizes(
  paths: readonly string[],
  read: ReadImageSize,
  signal?: AbortSignal,
): Promise<({ width: number; height: number } | null)[]> {
  const sizes: ({ width: number; height: number } | null)[] = paths.map(() => null);
  const queue = paths.entries();
  const worker = async () => {
    for (const [index, path] of queue) {
      signal?.throwIfAborted();
      try {
        const { width, height } = await read(path);
        sizes[index] = { width, height };
      } catch (error) {
        // A missing decoder concerns every file; a file that is no picture concerns only itself.
        if (error instanceof Error && error.name === "SharpMissingError") throw error;
      }
    }
  };
  // Enough to hide the disk, few enough for the decoder's memory.
  await Promise.all(Array.from({ length: 4 }, worker));
  return sizes;
}

function push(map: Map<string, string[]>, key: string, value: string): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}

/** The folder and name of a path, or the path itself where it is a folder. */
export const splitPath = (path: string): { folder: string; name: string } => ({
  folder: dirname(resolve(path)),
  name: basename(path),
});
