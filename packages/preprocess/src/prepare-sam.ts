import type { RgbImage } from "@seg/coco-dataset";
import { normaliseTable, type Triple, writeChw } from "./chw.js";
import { makeGeometry } from "./geometry.js";
import type { PreparedImage } from "./prepare-yolo.js";
import { resizePillow } from "./resize-pillow.js";
import { checkImage, samSize } from "./sizes.js";

/** ImageNet statistics in 0..255, as SAM's configuration writes them. */
export const SAM_MEAN: Triple = [123.675, 116.28, 103.53];
/** See {@link SAM_MEAN}. */
export const SAM_STD: Triple = [58.395, 57.12, 57.375];

/**
 * Input of SAM and MobileSAM: longest side to `size` by Pillow bilinear on uint8, normalised, then zeros (the mean colour) at the right and bottom.
 *
 * @param options.size - side of the square input. @defaultValue 1024
 * @param options.mean - in 0..255. @defaultValue SAM_MEAN
 * @param options.std - in 0..255. @defaultValue SAM_STD
 * @throws PreprocessError `content_too_small`, `zero_dimension`
 */
export function prepareSam(
  image: RgbImage,
  {
    size = 1024,
    mean = SAM_MEAN,
    std = SAM_STD,
    model = "sam",
  }: { size?: number; mean?: Triple; std?: Triple; model?: string } = {},
): PreparedImage {
  checkImage(image);
  const content = samSize(image.width, image.height, size);
  const geometry = makeGeometry({
    image,
    model,
    content,
    pad: [0, 0],
    net: [size, size],
    normalizedBy: "none",
    config: { size, mean, std, kernel: "pillow-bilinear" },
  });
  const data = new Float32Array(3 * size * size);
  const resized =
    content[0] === image.width && content[1] === image.height ? image : resizePillow(image, content[0], content[1]);
  writeChw({ image: resized, table: normaliseTable(mean, std), out: data, width: size, height: size, left: 0, top: 0 });
  return { data, geometry };
}
