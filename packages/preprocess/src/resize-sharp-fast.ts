import type { RgbImage } from "@seg/coco-dataset";
import sharp from "sharp";
import { PreprocessError } from "./errors.js";

/** From this factor on libvips differs from Pillow by more than a few levels (7 at 6.25). */
const MAX_SHRINK = 4;

/**
 * libvips's linear reduction, close to Pillow's bilinear (at most 2 levels, 0.2 on average), for shrinking by less than 4 on both axes only.
 *
 * @throws PreprocessError `config_invalid` where it would enlarge (libvips shifts the samples by half a pixel) or shrink by 4 or more
 */
export async function resizeSharpFast(
  image: RgbImage,
  width: number,
  height: number,
  { model = null }: { model?: string | null } = {},
): Promise<RgbImage> {
  const x = image.width / width;
  const y = image.height / height;
  if (Math.min(x, y) < 1 || Math.max(x, y) >= MAX_SHRINK) {
    throw new PreprocessError({
      code: "config_invalid",
      model,
      message: `resampler sharp-fast cannot make ${width} x ${height} of ${image.width} x ${image.height}: it only shrinks by less than ${MAX_SHRINK}. Use resampler: exact.`,
    });
  }
  const { data } = await sharp(image.data, {
    raw: { width: image.width, height: image.height, channels: 3 },
    limitInputPixels: false,
  })
    .resize(width, height, { fit: "fill", kernel: "linear", fastShrinkOnLoad: false })
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { width, height, data: new Uint8Array(data.buffer, data.byteOffset, data.length) };
}
