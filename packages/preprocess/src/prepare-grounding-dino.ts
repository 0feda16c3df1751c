import type { Box, RgbImage } from "@seg/coco-dataset";
import { uninitialisedFloats } from "./buffer-pool.js";
import { fillBorder } from "./canvas.js";
import { normaliseTable, type Triple } from "./chw.js";
import { type Geometry, type ImageSpace, makeGeometry } from "./geometry.js";
import type { PreparedImage } from "./prepare-yolo.js";
import { resampleToChw } from "./resample.js";
import { checkImage, fitSize, type GroundingDinoSizeOptions, groundingDinoSize } from "./sizes.js";
import { IMAGENET_MEAN, IMAGENET_STD } from "./statistics.js";

/** Options of {@link prepareGroundingDino}. */
export interface GroundingDinoOptions extends GroundingDinoSizeOptions {
  /** In 0..1. @defaultValue IMAGENET_MEAN */
  readonly mean?: Triple;
  /** In 0..1. @defaultValue IMAGENET_STD */
  readonly std?: Triple;
  /** Shape of a fixed graph, pixels: the picture is fitted inside with its aspect kept, zeros at the right and bottom. @defaultValue null */
  readonly fixedCanvas?: { readonly width: number; readonly height: number } | null;
}

/** Where Grounding DINO's processor puts a picture. Boxes are relative to the content (`normalizedBy: "content"`). */
export function groundingDinoGeometry(
  space: ImageSpace,
  {
    shortestEdge = 800,
    longestEdge = 1333,
    variant = "hf",
    mean = IMAGENET_MEAN,
    std = IMAGENET_STD,
    fixedCanvas = null,
  }: GroundingDinoOptions = {},
): Geometry {
  const { width, height } = space;
  const content =
    fixedCanvas === null
      ? groundingDinoSize(width, height, { shortestEdge, longestEdge, variant })
      : fitSize(width, height, fixedCanvas);
  return makeGeometry({
    image: space,
    model: "grounding_dino",
    content,
    pad: [0, 0],
    net: fixedCanvas === null ? content : [fixedCanvas.width, fixedCanvas.height],
    normalizedBy: "content",
    config: { shortestEdge, longestEdge, variant, mean, std, fixedCanvas, kernel: "pillow-bilinear" },
  });
}

/** The 3 x 256 table of statistics in 0..1. */
export function unitTable(mean: Triple, std: Triple): Float32Array {
  const times255 = (t: Triple): Triple => [t[0] * 255, t[1] * 255, t[2] * 255];
  return normaliseTable(times255(mean), times255(std));
}

/**
 * Input of Grounding DINO for one picture: Pillow bilinear to shortest edge 800 / longest 1333, / 255, normalised, CHW; unpadded unless
 * `fixedCanvas` is given.
 *
 * @throws PreprocessError `content_too_small`, `zero_dimension`
 */
export function prepareGroundingDino(image: RgbImage, options: GroundingDinoOptions = {}): PreparedImage {
  checkImage(image);
  const { mean = IMAGENET_MEAN, std = IMAGENET_STD } = options;
  const geometry = groundingDinoGeometry(image, options);
  const data = uninitialisedFloats(3 * geometry.netW * geometry.netH);
  fillBorder({ out: data, geometry, value: 0 });
  resampleToChw({ image, kernel: "pillow-bilinear", geometry, table: unitTable(mean, std), out: data });
  return { data, geometry };
}

/**
 * Grounding DINO's boxes -> pixels of the image, corners. They are relative to the unpadded content, so no letterbox has to be inverted.
 *
 * @param cxcywh - flat [n * 4] in 0..1
 */
export function decodeNormalizedBoxes(cxcywh: ArrayLike<number>, { origW, origH }: Geometry): Box[] {
  const boxes: Box[] = [];
  for (let i = 0; i + 3 < cxcywh.length; i += 4) {
    const halfW = cxcywh[i + 2]! / 2;
    const halfH = cxcywh[i + 3]! / 2;
    const cx = cxcywh[i]!;
    const cy = cxcywh[i + 1]!;
    boxes.push([(cx - halfW) * origW, (cy - halfH) * origH, (cx + halfW) * origW, (cy + halfH) * origH]);
  }
  return boxes;
}
