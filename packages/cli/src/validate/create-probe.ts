import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import type { CocoDataset, ProbeImage } from "@seg/coco-dataset";
import sharp from "sharp";

/**
 * Decodes images completely, so that a truncated file is found. The size is the stored one, or the upright one where EXIF turns the
 * picture and the annotations are made for that: training reads such files the same way.
 */
export function createProbe(dataset: CocoDataset, imagesDir: string): ProbeImage {
  const images = new Map(dataset.images.map((image) => [resolve(imagesDir, image.file_name), image]));
  return async (path) => {
    const bytes = await readFile(path);
    // Our own words: the text of libvips' errors is shared by its threads and may be gone when several files are open.
    const says = (message: string) => (cause: unknown) => {
      throw new Error(message, { cause });
    };
    const { orientation = 1 } = await sharp(bytes).metadata().catch(says("no image that can be read"));
    const { info } = await sharp(bytes, { failOn: "error" })
      .raw()
      .toBuffer({ resolveWithObject: true })
      .catch(says("damaged or cut off"));
    const expected = images.get(path);
    // Orientations 5 to 8 swap the sides.
    const isTurned = orientation >= 5 && expected?.width === info.height && expected.height === info.width;
    return isTurned ? { width: info.height, height: info.width } : { width: info.width, height: info.height };
  };
}
