import type { RgbImage } from "@seg/coco-dataset";
import { uninitialisedFloats } from "./buffer-pool.js";
import { fillBorder } from "./canvas.js";
import { normaliseTable, type Triple } from "./chw.js";
import { type Geometry, type ImageSpace, makeGeometry } from "./geometry.js";
import type { PreparedImage } from "./prepare-yolo.js";
import { resampleToChw } from "./resample.js";
import { checkImage, samSize } from "./sizes.js";
import { SAM_MEAN, SAM_STD } from "./statistics.js";

/** Options of {@link prepareSam}. */
export interface SamOptions {
  /** Side of the square input, pixels. @defaultValue 1024 */
  readonly size?: number;
  /** In 0..255. @defaultValue SAM_MEAN */
  readonly mean?: Triple;
  /** In 0..255. @defaultValue SAM_STD */
  readonly std?: Triple;
  /** @defaultValue "sam" */
  readonly model?: string;
}

/** Where SAM's processor puts a picture: top left, its longest side filling the square. */
export function samGeometry(
  space: ImageSpace,
  { size = 1024, mean = SAM_MEAN, std = SAM_STD, model = "sam" }: SamOptions = {},
): Geometry {
  return makeGeometry({
    image: space,
    model,
    content: samSize(space.width, space.height, size),
    pad: [0, 0],
    net: [size, size],
    normalizedBy: "none",
    config: { size, mean, std, kernel: "pillow-bilinear" },
  });
}

/**
 * Input of SAM and MobileSAM: longest side to `size` by Pillow bilinear on uint8, normalised, then zeros (the mean colour) at the right and bottom.
 *
 * @throws PreprocessError `content_too_small`, `zero_dimension`
 */
export function prepareSam(image: RgbImage, options: SamOptions = {}): PreparedImage {
  checkImage(image);
  const { mean = SAM_MEAN, std = SAM_STD } = options;
  const geometry = samGeometry(image, options);
  const data = uninitialisedFloats(3 * geometry.netW * geometry.netH);
  fillBorder({ out: data, geometry, value: 0 });
  resampleToChw({ image, kernel: "pillow-bilinear", geometry, table: normaliseTable(mean, std), out: data });
  return { data, geometry };
}
