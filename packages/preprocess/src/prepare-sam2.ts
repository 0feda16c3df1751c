import type { RgbImage } from "@seg/coco-dataset";
import { uninitialisedFloats } from "./buffer-pool.js";
import type { Triple } from "./chw.js";
import { type Geometry, type ImageSpace, makeGeometry } from "./geometry.js";
import type { PreparedImage } from "./prepare-yolo.js";
import { resizeFloatAntialias } from "./resize-float.js";
import { checkImage, checkSize } from "./sizes.js";
import { IMAGENET_MEAN, IMAGENET_STD } from "./statistics.js";

/** Options of {@link prepareSam2}. */
export interface Sam2Options {
  /** Side of the square input, pixels. @defaultValue 1024 */
  readonly size?: number;
  /** In 0..1. @defaultValue IMAGENET_MEAN */
  readonly mean?: Triple;
  /** In 0..1. @defaultValue IMAGENET_STD */
  readonly std?: Triple;
  /** @defaultValue "sam2" */
  readonly model?: string;
  /** Reused when it has the right length; its content is overwritten. */
  readonly out?: Float32Array;
}

/** SAM 2 stretches: the content fills the square and the axes have scales of their own. */
export function sam2Geometry(
  space: ImageSpace,
  { size = 1024, mean = IMAGENET_MEAN, std = IMAGENET_STD, model = "sam2" }: Sam2Options = {},
): Geometry {
  checkSize(space.width, space.height);
  checkSize(size, size);
  return makeGeometry({
    image: space,
    model,
    content: [size, size],
    pad: [0, 0],
    net: [size, size],
    normalizedBy: "net",
    config: { size, mean, std, kernel: "float-antialias" },
  });
}

/**
 * Input of SAM 2: stretched to `size` x `size` in float with antialiasing (torch's `interpolate(antialias=True)`, no rounding to uint8),
 * ImageNet statistics, CHW, no padding.
 *
 * @throws PreprocessError `zero_dimension`
 */
export function prepareSam2(image: RgbImage, options: Sam2Options = {}): PreparedImage {
  checkImage(image);
  const { size = 1024, mean = IMAGENET_MEAN, std = IMAGENET_STD, out } = options;
  const geometry = sam2Geometry(image, options);
  const length = 3 * size * size;
  const data = out?.length === length ? out : uninitialisedFloats(length);
  resizeFloatAntialias({ image, width: size, height: size, mean, std, out: data });
  return { data, geometry };
}
