import type { RgbImage } from "@seg/coco-dataset";
import { normaliseTable, writeChw } from "./chw.js";
import type { Geometry } from "./geometry.js";
import { type LetterboxOptions, letterboxContent, letterboxGeometry } from "./letterbox.js";
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
  const { netW: width, netH: height, padL: left, padT: top } = geometry;
  const table = normaliseTable([0, 0, 0], [255, 255, 255]);
  const data = out?.length === 3 * width * height ? out : new Float32Array(3 * width * height);
  if (geometry.contentW !== width || geometry.contentH !== height) data.fill(table[padValue]!);
  writeChw({ image: letterboxContent(image, geometry), table, out: data, width, height, left, top });
  return { data, geometry };
}
