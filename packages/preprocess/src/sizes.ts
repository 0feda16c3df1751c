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

/** Options of {@link groundingDinoSize}. */
export interface GroundingDinoSizeOptions {
  /** Pixels. @defaultValue 800 */
  readonly shortestEdge?: number;
  /** Pixels. @defaultValue 1333 */
  readonly longestEdge?: number;
  /**
   * `hf` (transformers 4.5x) computes the long side from the unrounded short one and so stays within `longestEdge`; `idea` (the original
   * repository) from the rounded one, which exceeds it for one size in nine. @defaultValue "hf"
   */
  readonly variant?: "hf" | "idea";
}

/**
 * Content size of Grounding DINO: shortest edge 800 unless the longest would exceed 1333. Multiply before dividing, as the references do.
 *
 * @example groundingDinoSize(640, 427) // [1199, 800]
 * @throws PreprocessError `content_too_small`
 */
export function groundingDinoSize(
  width: number,
  height: number,
  { shortestEdge = 800, longestEdge = 1333, variant = "hf" }: GroundingDinoSizeOptions = {},
): Size {
  checkSize(width, height);
  const short = Math.min(width, height);
  const long = Math.max(width, height);
  let base = shortestEdge;
  let size = shortestEdge;
  if ((long / short) * shortestEdge > longestEdge) {
    base = (longestEdge * short) / long;
    size = pyRound(base);
    if (variant === "idea") base = size;
  }
  let to: Size;
  if (short === size) to = [width, height];
  else if (width < height) to = [size, Math.trunc((base * height) / width)];
  else to = [Math.trunc((base * width) / height), size];
  checkContent({ from: [width, height], to, model: "grounding_dino" });
  return to;
}

/**
 * Largest content with the image's aspect inside a fixed canvas: one side fills it, the other is truncated. For graphs with a fixed shape.
 *
 * @example fitSize(640, 480, { width: 1200, height: 800 }) // [1066, 800]
 * @throws PreprocessError `content_too_small`
 */
export function fitSize(
  width: number,
  height: number,
  canvas: { readonly width: number; readonly height: number },
): Size {
  checkSize(width, height);
  checkSize(canvas.width, canvas.height);
  const to: Size =
    canvas.width * height <= canvas.height * width
      ? [canvas.width, Math.trunc((canvas.width * height) / width)]
      : [Math.trunc((canvas.height * width) / height), canvas.height];
  checkContent({ from: [width, height], to, model: "a fixed canvas" });
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

/**
 * Network size of one rectangular validation batch of YOLO: with a = height / width of the batch's images, the shape (height, width) is
 * (max a, 1) if all lie flat, (1, 1 / min a) if all stand, else (1, 1); each side is ceil(shape * S / stride + 0.5) * stride. The half
 * stride of slack is added to both sides, so the long one is S + stride (672 for 640): measured, docs/decisions/0009.
 *
 * @param sizes - [width, height] of the images
 * @example yoloBatchShape([[640, 480]]) // [672, 512]
 * @throws PreprocessError `zero_dimension`
 */
export function yoloBatchShape(
  sizes: readonly Size[],
  { imageSize = 640, stride = 32 }: { imageSize?: number; stride?: number } = {},
): Size {
  let least = Infinity;
  let most = 0;
  for (const [width, height] of sizes) {
    checkSize(width, height);
    least = Math.min(least, height / width);
    most = Math.max(most, height / width);
  }
  const side = (share: number) => Math.ceil((share * imageSize) / stride + 0.5) * stride;
  if (most > 0 && most < 1) return [side(1), side(most)];
  if (least > 1 && least < Infinity) return [side(1 / least), side(1)];
  return [side(1), side(1)];
}
