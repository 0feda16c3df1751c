import type { RgbImage } from "@seg/coco-dataset";
import { PreprocessError } from "./errors.js";
import { type Geometry, type ImageSpace, makeGeometry } from "./geometry.js";
import { letterboxPlacement } from "./letterbox-placement.js";
import { resample } from "./resample.js";
import { checkContent, checkImage, checkSize } from "./sizes.js";

/** Options of {@link letterboxGeometry}. */
export interface LetterboxOptions {
  /** Side of the square network input, or its two sides, pixels. @defaultValue 640 */
  readonly size?: number | { readonly width: number; readonly height: number };
  /** Smallest rectangle whose sides are multiples of `stride` instead of the full size. @defaultValue false */
  readonly auto?: boolean;
  /** Stretch to the full size, without padding. @defaultValue false */
  readonly scaleFill?: boolean;
  /** Enlarge small pictures. @defaultValue true */
  readonly scaleup?: boolean;
  /** Padding on both sides; false puts the content top left. @defaultValue true */
  readonly center?: boolean;
  /** Used by `auto`. @defaultValue 32 */
  readonly stride?: number;
  /** @defaultValue "yolov8_seg" */
  readonly model?: string;
}

/**
 * Where YOLO's letterbox puts a picture: r = min(S/h, S/w), content = pyRound(side * r), padding halved with the odd pixel at the
 * bottom and right (pyRound(d -+ 0.1)).
 *
 * @example letterboxGeometry(640, 427, { size: 640 }) // padT 106, padB 107
 * @throws PreprocessError `content_too_small`, `zero_dimension`
 */
export function letterboxGeometry(
  width: number,
  height: number,
  options: LetterboxOptions = {},
  space: ImageSpace = { width, height },
): Geometry {
  const {
    size = 640,
    auto = false,
    scaleFill = false,
    scaleup = true,
    center = true,
    stride = 32,
    model = "yolov8_seg",
  } = options;
  const fullW = typeof size === "number" ? size : size.width;
  const fullH = typeof size === "number" ? size : size.height;
  checkSize(width, height);
  if (!(Number.isInteger(fullW) && Number.isInteger(fullH) && fullW > 0 && fullH > 0)) {
    throw new PreprocessError({
      code: "config_invalid",
      message: `letterbox size must be positive integers, got ${fullW} x ${fullH}.`,
    });
  }
  const place = { width, height, fullW, fullH, auto, scaleFill, scaleup, center, stride };
  const { contentW, contentH, padL, padT, netW, netH } = letterboxPlacement(place);
  checkContent({ from: [width, height], to: [contentW, contentH], model });
  return makeGeometry({
    image: space,
    model,
    content: [contentW, contentH],
    pad: [padL, padT],
    net: [netW, netH],
    normalizedBy: "net",
    config: { size: [fullW, fullH], auto, scaleFill, scaleup, center, stride, kernel: "cv2-linear" },
  });
}

/**
 * YOLO's letterbox on uint8, before /255: OpenCV-exact bilinear content on a `padValue` canvas.
 *
 * @throws PreprocessError `content_too_small`, `zero_dimension`
 */
export function letterbox(
  image: RgbImage,
  {
    padValue = 114,
    ...options
  }: LetterboxOptions & { /** Gray level of the border. @defaultValue 114 */ padValue?: number } = {},
): { image: RgbImage; geometry: Geometry } {
  checkImage(image);
  const geometry = letterboxGeometry(image.width, image.height, options, image);
  const { netW, netH, padL, padT, contentW, contentH } = geometry;
  const content = resample(image, "cv2-linear", contentW, contentH);
  const data = new Uint8Array(netW * netH * 3).fill(padValue);
  const row = contentW * 3;
  for (let y = 0; y < contentH; y++) {
    data.set(content.data.subarray(y * row, (y + 1) * row), ((y + padT) * netW + padL) * 3);
  }
  return { image: { width: netW, height: netH, data }, geometry };
}
