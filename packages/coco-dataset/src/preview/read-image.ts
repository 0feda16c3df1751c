import { stat } from "node:fs/promises";
import { isAbsolute, relative, resolve, sep } from "node:path";
import type { CocoImage } from "../document.js";
import { loadSharp } from "../load-sharp.js";
import type { RgbImage } from "../types.js";
import { PreviewError } from "./errors.js";

/**
 * The picture of an image record in the space of its annotations: stored pixels, or turned upright where EXIF says so and the record has
 * the upright size. Any colour space and depth becomes 8-bit RGB; transparency is laid on white.
 *
 * @throws PreviewError (reason `image`) for a file that is missing, damaged, outside the folder or of another size than the record says
 */
export async function readImage(imagesDir: string, image: CocoImage): Promise<RgbImage> {
  const root = resolve(imagesDir);
  const path = resolve(root, image.file_name);
  const inside = relative(root, path);
  const fail = (what: string, cause?: unknown) =>
    new PreviewError({ reason: "image", message: `${image.file_name} ${what}.`, cause });
  if (inside.startsWith(`..${sep}`) || inside === ".." || isAbsolute(inside))
    throw fail("lies outside the folder of images");
  if (!(await stat(path).catch(() => null))?.isFile()) throw fail("is missing");
  const sharp = await loadSharp("Drawing previews");
  try {
    const { width, height, orientation = 1 } = await sharp(path).metadata();
    const isTurned = orientation >= 5 && image.width === height && image.height === width && width !== height;
    const picture = sharp(path, { failOn: "error", autoOrient: isTurned });
    const { data, info } = await picture
      .flatten({ background: "#fff" })
      .toColourspace("srgb")
      .raw({ depth: "uchar" })
      .toBuffer({ resolveWithObject: true });
    if (info.width !== image.width || info.height !== image.height) {
      throw fail(`is ${info.width} x ${info.height}, the document says ${image.width} x ${image.height}`);
    }
    return { width: info.width, height: info.height, data: toRgb(data, info.channels) };
  } catch (error) {
    if (error instanceof PreviewError) throw error;
    throw fail("cannot be read as a picture", error);
  }
}

function toRgb(data: Uint8Array, channels: number): Uint8Array {
  if (channels === 3) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  const pixels = data.length / channels;
  const rgb = new Uint8Array(pixels * 3);
  for (let i = 0; i < pixels; i++) {
    for (let c = 0; c < 3; c++) rgb[3 * i + c] = data[channels * i + (channels < 3 ? 0 : c)]!;
  }
  return rgb;
}
