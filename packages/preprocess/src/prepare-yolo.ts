import type { RgbImage } from "@seg/coco-dataset";
import { uninitialisedFloats } from "./buffer-pool.js";
import { fillBorder } from "./canvas.js";
import { normaliseTable } from "./chw.js";
import type { Geometry } from "./geometry.js";
import { type LetterboxOptions, letterboxGeometry } from "./letterbox.js";
import { resampleToChw } from "./resample.js";
import { checkImage } from "./sizes.js";

/** A model's image input and where the picture lies on it. */
export interface PreparedImage {
  /** float32 [3, netH, netW], RGB planes. */
  readonly data: Float32Array;
  readonly geometry: Geometry;
}

/**
 * Input of YOLOv8, YOLOv8-seg and FastSAM: letterbox (OpenCV bilinear, border 114), RGB / 255, CHW.
 *
 * @param out - reused when it has the right length; its content is overwritten
 * @throws PreprocessError `content_too_small`, `zero_dimension`
 * @example prepareYolo(image, { size: 640 }).data.length // 3 * 640 * 640
 */
export function prepareYolo(
  image: RgbImage,
  { padValue = 114, out, ...options }: LetterboxOptions & { padValue?: number; out?: Float32Array } = {},
): PreparedImage {
  checkImage(image);
  const geometry = letterboxGeometry(image.width, image.height, options, image);
  const table = normaliseTable([0, 0, 0], [255, 255, 255]);
  const length = 3 * geometry.netW * geometry.netH;
  const data = out?.length === length ? out : uninitialisedFloats(length);
  fillBorder({ out: data, geometry, value: table[padValue]! });
  resampleToChw({ image, kernel: "cv2-linear", geometry, table, out: data });
  return { data, geometry };
}
