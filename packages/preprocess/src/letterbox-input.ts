/**
 * YOLO's letterbox alone, for browsers and small deployments: no decoder, no file system, no hash of the options.
 * @module
 */
import type { RgbImage } from "@seg/coco-dataset";
import { fillBorder } from "./canvas.js";
import { normaliseTable } from "./chw.js";
import type { Placement } from "./geometry.js";
import { letterboxPlacement } from "./letterbox-placement.js";
import { resampleToChw } from "./resample.js";
import { checkContent, checkImage } from "./sizes.js";

/** Gray of the border. */
const PAD_VALUE = 114;

/** Where a picture lies on the network's input: net = orig * scale + pad, per axis. */
export interface LetterboxInputGeometry extends Placement {
  readonly origW: number;
  readonly origH: number;
  /** contentW / origW */
  readonly scaleX: number;
  readonly scaleY: number;
}

/**
 * The same pixels as `prepareYolo`: letterbox (OpenCV bilinear, border 114), RGB / 255, planes.
 *
 * @param out - reused when it has the right length; its content is overwritten
 * @returns `data` float32 `[3, height, width]`
 * @throws PreprocessError `content_too_small`, `zero_dimension`
 * @example letterboxInput(image, { width: 640, height: 640 }).data.length // 3 * 640 * 640
 */
export function letterboxInput(
  image: RgbImage,
  { width, height }: { width: number; height: number },
  out?: Float32Array,
): { data: Float32Array; geometry: LetterboxInputGeometry } {
  checkImage(image);
  const place = letterboxPlacement({ width: image.width, height: image.height, fullW: width, fullH: height });
  const { contentW, contentH } = place;
  checkContent({ from: [image.width, image.height], to: [contentW, contentH], model: "yolov8_seg" });
  const table = normaliseTable([0, 0, 0], [255, 255, 255]);
  const length = 3 * width * height;
  const data = out?.length === length ? out : new Float32Array(length);
  fillBorder({ out: data, geometry: place, value: table[PAD_VALUE]! });
  resampleToChw({ image, kernel: "cv2-linear", geometry: place, table, out: data });
  const geometry = {
    ...place,
    origW: image.width,
    origH: image.height,
    scaleX: contentW / image.width,
    scaleY: contentH / image.height,
  };
  return { data, geometry };
}
