import { join, posix, resolve, sep } from "node:path";
import { listSome } from "../findings.js";
import { belowCommonFolder, ImageFiles, listFiles, readImageSize, readSizes } from "./image-files.js";
import type { ImportIssues } from "./import-issues.js";
import type { ImportOptions } from "./imported.js";

/** What an annotation file says about its picture. */
export interface LocatedImage {
  /** The annotation file, relative to the dataset's folder. */
  readonly file: string;
  /** Path or name of the picture as stated. */
  readonly stated: string;
  /** Name of the annotation file without extension: what pairs the two where the stated name is wrong. */
  readonly stem: string;
  /** As stated; null or not positive where the file does not say. */
  readonly width: number | null;
  readonly height: number | null;
}

/** A picture with its size and its name below the common folder of all. */
export interface FoundImage {
  readonly fileName: string;
  readonly width: number;
  readonly height: number;
}

/**
 * Finds the picture of every annotation file. File names become relative to the deepest folder that holds all pictures; a picture that is
 * not there keeps its stated name (validation names it). A size that the annotations lack comes from the picture.
 *
 * @param input.format - of the files, for the error
 * @param input.isOther - pictures of the dataset that are no photographs, such as masks; never found. @defaultValue none
 * @returns one entry per file, in order; a folder of null when no picture was found
 * @throws ImportError when the files, or their pictures, have issues
 */
export async function locateImages({
  root,
  files,
  options,
  issues,
  format,
  isOther = () => false,
}: {
  root: string;
  files: readonly LocatedImage[];
  options: ImportOptions;
  issues: ImportIssues;
  format: string;
  isOther?: (path: string) => boolean;
}): Promise<{ images: FoundImage[]; imagesDir: string | null }> {
  issues.throwIfAny(format);
  const searched = options.imagesDir === undefined ? root : resolve(options.imagesDir);
  const listed = await listFiles(searched).catch(() => []);
  const index = new ImageFiles(
    searched,
    listed.filter((path) => !isOther(path)),
  );
  const paths = files.map(({ file, stated, stem }) => {
    const found = index.find(stated, file) ?? index.find(stem, file);
    if (found === null || typeof found === "string") return found;
    issues.add(
      file,
      null,
      `means ${posix.basename(stated)}, but there are several: ${listSome(found)}. Give the folder of the images, or use unique names.`,
    );
    return null;
  });
  const present = paths.filter((path): path is string => path !== null);
  const { folder, names } = belowCommonFolder(present);
  const needed = files.map((file, i) => (isSize(file) || paths[i] === null ? null : join(searched, paths[i]!)));
  const sizes = await readSizes(
    needed.filter((path) => path !== null),
    options.readImageSize ?? readImageSize,
    options.signal,
  );
  const images = files.map((file, i): FoundImage => {
    const size = isSize(file)
      ? { width: file.width!, height: file.height! }
      : needed[i] === null
        ? null
        : sizes.shift()!;
    if (size === null) {
      issues.add(
        file.file,
        null,
        `states no image size, and ${file.stated} cannot be read to find it. Add the image or its size.`,
      );
    }
    const fileName = paths[i] === null ? posix.basename(file.stated.replaceAll("\\", "/")) : names.shift()!;
    return { fileName, width: size?.width ?? 0, height: size?.height ?? 0 };
  });
  issues.throwIfAny(format);
  return { images, imagesDir: present.length === 0 ? null : join(searched, folder.split("/").join(sep)) };
}

const isSize = ({ width, height }: LocatedImage): boolean =>
  width !== null && height !== null && width > 0 && height > 0;
