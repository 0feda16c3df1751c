import { readdirSync, statSync } from "node:fs";
import { extname, join, resolve } from "node:path";
import type { CocoCategory, CocoImage } from "@seg/coco-dataset";
import type { StudentData } from "@seg/distill";
import { decodeImage } from "@seg/preprocess";
import { loadSplit } from "../data.js";
import { CommandError } from "../errors.js";

const EXTENSIONS = new Set([".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"]);

/**
 * Images without annotations: a folder of pictures, or a COCO file whose annotations are not looked at.
 *
 * @param categories - of the labelled set: the teacher's answers are in its classes
 * @throws {@link CommandError} `cli/empty-split` for a folder without pictures, `cli/path-not-found`
 */
export async function loadUnlabelled(
  path: string,
  {
    images,
    categories,
    onBadImage,
  }: { images: string | undefined; categories: readonly CocoCategory[]; onBadImage: "error" | "skip" },
): Promise<StudentData> {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined)
    throw new CommandError({
      code: "cli/path-not-found",
      message: `--unlabelled ${path} was not found. Give a folder of images or a COCO file.`,
    });
  if (!found.isDirectory()) {
    const { dataset, imagesDir } = await loadSplit(path, images, { onBadImage });
    return { dataset: { images: dataset.images, annotations: [], categories }, imagesDir };
  }
  const names = readdirSync(path, { recursive: true })
    .map(String)
    .filter((name) => EXTENSIONS.has(extname(name).toLowerCase()))
    .sort();
  const list: CocoImage[] = [];
  for (const file_name of names) {
    try {
      const { width, height } = await decodeImage(join(path, file_name));
      list.push({ id: list.length + 1, file_name, width, height });
    } catch (cause) {
      if (onBadImage === "skip") continue;
      throw new CommandError({
        code: "cli/unusable-data",
        message: `${join(path, file_name)} cannot be decoded: ${cause instanceof Error ? cause.message : String(cause)}. Remove it or pass --on-bad-image skip.`,
      });
    }
  }
  if (list.length === 0)
    throw new CommandError({
      code: "cli/empty-split",
      message: `--unlabelled ${path} holds no image. Give a folder of JPEG, PNG, WebP, BMP or TIFF files, or a COCO file.`,
    });
  return { dataset: { images: list, annotations: [], categories }, imagesDir: resolve(path) };
}
