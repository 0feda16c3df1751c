import type { Box, RgbImage } from "@seg/coco-dataset";
import { normaliseTable, type Triple, writeChw } from "./chw.js";
import { type Geometry, makeGeometry } from "./geometry.js";
import type { PreparedImage } from "./prepare-yolo.js";
import { resizePillow } from "./resize-pillow.js";
import { checkImage, groundingDinoSize } from "./sizes.js";

/** ImageNet statistics in 0..1, as Grounding DINO's configuration writes them. */
export const IMAGENET_MEAN: Triple = [0.485, 0.456, 0.406];
/** See {@link IMAGENET_MEAN}. */
export const IMAGENET_STD: Triple = [0.229, 0.224, 0.225];

/**
 * Input of Grounding DINO for one picture, unpadded: Pillow bilinear to shortest edge 800 / longest 1333, / 255, normalised, CHW.
 *
 * @throws PreprocessError `content_too_small`, `zero_dimension`
 */
export function prepareGroundingDino(
  image: RgbImage,
  {
    shortestEdge = 800,
    longestEdge = 1333,
    mean = IMAGENET_MEAN,
    std = IMAGENET_STD,
  }: {
    /** @defaultValue 800 */ shortestEdge?: number;
    /** @defaultValue 1333 */ longestEdge?: number;
    /** In 0..1. @defaultValue IMAGENET_MEAN */ mean?: Triple;
    /** In 0..1. @defaultValue IMAGENET_STD */ std?: Triple;
  } = {},
): PreparedImage {
  checkImage(image);
  const content = groundingDinoSize(image.width, image.height, { shortestEdge, longestEdge });
  const [width, height] = content;
  const geometry = makeGeometry({
    image,
    model: "grounding_dino",
    content,
    pad: [0, 0],
    net: content,
    normalizedBy: "content",
    config: { shortestEdge, longestEdge, mean, std, kernel: "pillow-bilinear" },
  });
  const times255 = (t: Triple): Triple => [t[0] * 255, t[1] * 255, t[2] * 255];
  const data = new Float32Array(3 * width * height);
  const table = normaliseTable(times255(mean), times255(std));
  writeChw({ image: resizePillow(image, width, height), table, out: data, width, height, left: 0, top: 0 });
  return { data, geometry };
}

/**
 * Grounding DINO's boxes -> pixels of the image. They are relative to the unpadded content, so no letterbox has to be inverted.
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
