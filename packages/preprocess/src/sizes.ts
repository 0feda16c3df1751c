import type { RgbImage } from "@seg/coco-dataset";
import { PreprocessError } from "./errors.js";
import { pyRound } from "./rounding.js";

/** `[width, height]` in pixels. */
export type Size = readonly [width: number, height: number];

/** @throws PreprocessError `zero_dimension` unless both are positive integers */
export function checkSize(width: number, height: number): void {
  if (!Number.isInteger(width) || !Number.isInteger(height) || width < 1 || height < 1) {
    throw new PreprocessError({
      code: "zero_dimension",
      message: `An image size must be two positive integers, got ${width} x ${height}.`,
    });
  }
}

/** The kernels index without looking, so each entry point asks once. @throws PreprocessError `zero_dimension`, `config_invalid` */
export function checkImage({ width, height, data }: RgbImage): void {
  checkSize(width, height);
  if (data.length !== width * height * 3) {
    throw new PreprocessError({
      code: "config_invalid",
      message: `An RGB image of ${width} x ${height} needs ${width * height * 3} bytes, got ${data.length}. Expand gray and drop alpha first (decodeImage does).`,
    });
  }
}

/** @throws PreprocessError `content_too_small` when a side became 0 */
export function checkContent({ from, to, model }: { from: Size; to: Size; model: string }): void {
  if (to[0] < 1 || to[1] < 1) {
    throw new PreprocessError({
      code: "content_too_small",
      message: `Resizing ${from[0]} x ${from[1]} for ${model} leaves ${to[0]} x ${to[1]} px, at least 1 x 1 is needed. Crop the image to a less extreme aspect ratio.`,
    });
  }
}

/**
 * Content size of SAM: the longest side becomes `longestEdge`, `trunc(side * s + 0.5)`; small images are enlarged.
 *
 * @example samSize(640, 427) // [1024, 683]
 * @throws PreprocessError `content_too_small`
 */
export function samSize(width: number, height: number, longestEdge = 1024): Size {
  checkSize(width, height);
  const scale = longestEdge / Math.max(width, height);
  const to: Size = [Math.trunc(width * scale + 0.5), Math.trunc(height * scale + 0.5)];
  checkContent({ from: [width, height], to, model: "sam" });
  return to;
}

/**
 * Content size of Grounding DINO (transformers 4.5x): shortest edge 800 unless the longest would exceed 1333. The unrounded short
 * edge is used for the long one, which keeps it below the limit; multiply before dividing, as the reference does.
 *
 * @example groundingDinoSize(640, 427) // [1199, 800]
 * @throws PreprocessError `content_too_small`
 */
export function groundingDinoSize(
  width: number,
  height: number,
  { shortestEdge = 800, longestEdge = 1333 }: { shortestEdge?: number; longestEdge?: number } = {},
): Size {
  checkSize(width, height);
  const short = Math.min(width, height);
  const long = Math.max(width, height);
  let base = shortestEdge;
  let size = shortestEdge;
  if ((long / short) * shortestEdge > longestEdge) {
    base = (longestEdge * short) / long;
    size = pyRound(base);
  }
  let to: Size;
  if (short === size) to = [width, height];
  else if (width < height) to = [size, Math.trunc((base * height) / width)];
  else to = [Math.trunc((base * width) / height), size];
  checkContent({ from: [width, height], to, model: "grounding_dino" });
  return to;
}

/**
 * First step of YOLO's validation loader: the long side becomes `size` with `ceil`, which differs from the letterbox rule by up to a pixel.
 *
 * @example yoloValSize(500, 333) // [640, 427]
 */
export function yoloValSize(width: number, height: number, size = 640): Size {
  checkSize(width, height);
  const ratio = size / Math.max(width, height);
  if (ratio === 1) return [width, height];
  return [Math.min(Math.ceil(width * ratio), size), Math.min(Math.ceil(height * ratio), size)];
}
