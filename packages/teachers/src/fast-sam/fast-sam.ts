import { type Box, mask as maskAlgebra, type RgbImage, type Rle } from "@seg/coco-dataset";

/** Everything that was found in one image, in one order. */
export interface EverythingMasks {
  /** [n * 4] xyxy in pixels of the image. */
  readonly boxes: Float32Array;
  /** [n] in [0, 1]. */
  readonly scores: Float32Array;
  /** In the size of the image. */
  readonly masks: readonly Rle[];
}

/** A network that cuts out every object, without prompts and without classes. */
export type SegmentEverything = (image: RgbImage) => Promise<EverythingMasks>;

/** A detection that covers the image with more than this IoU is the image. */
const WHOLE_IMAGE_IOU = 0.9;

/** The answer to one prompt. */
export interface FastSamMask {
  /** Box of the chosen object. */
  readonly box: Box;
  readonly mask: Rle;
  /** The network's confidence in the object. */
  readonly score: number;
  /** IoU of the mask with the prompt box. */
  readonly promptIou: number;
}

/** Fast Segment Anything (Zhao et al., 2023): a network segments everything once, prompts choose among its masks. Inference only. */
export class FastSam {
  readonly #network: SegmentEverything;

  constructor({ network }: { readonly network: SegmentEverything }) {
    this.#network = network;
  }

  /** All objects; a box that covers more than .9 (IoU) of the image is snapped to it. */
  async segmentEverything(image: RgbImage): Promise<EverythingMasks> {
    const { boxes, scores, masks } = await this.#network(image);
    const { width, height } = image;
    const snapped = Float32Array.from(boxes);
    for (let i = 0; i < scores.length; i++) {
      const [x1, y1, x2, y2] = boxAt(boxes, i);
      const covered =
        Math.max(Math.min(x2, width) - Math.max(x1, 0), 0) * Math.max(Math.min(y2, height) - Math.max(y1, 0), 0);
      const union = (x2 - x1) * (y2 - y1) + width * height - covered;
      if (covered / union > WHOLE_IMAGE_IOU) snapped.set([0, 0, width, height], 4 * i);
    }
    return { boxes: snapped, scores, masks };
  }

  /**
   * For every prompt box the object whose mask has the highest IoU with the filled box; null where no mask meets it.
   * @param prompts - xyxy in pixels of the image
   */
  async predict(image: RgbImage, prompts: readonly Box[]): Promise<(FastSamMask | null)[]> {
    if (prompts.length === 0) return [];
    const { boxes, scores, masks } = await this.segmentEverything(image);
    const areas = masks.map((mask) => maskAlgebra.area(mask));
    const bitmaps = masks.map((mask) => maskAlgebra.decode(mask));
    return prompts.map((prompt) => {
      const [left, top, right, bottom] = pixelsOf(prompt, image);
      const size = Math.max(right - left, 0) * Math.max(bottom - top, 0);
      let best: FastSamMask | null = null;
      for (const [i, bitmap] of bitmaps.entries()) {
        let inside = 0;
        for (let y = top; y < bottom; y++) for (let x = left; x < right; x++) inside += bitmap[y * image.width + x]!;
        const promptIou = inside / Math.max(areas[i]! + size - inside, 1);
        if (promptIou > (best?.promptIou ?? 0)) {
          best = { box: boxAt(boxes, i), mask: masks[i]!, score: scores[i]!, promptIou };
        }
      }
      return best;
    });
  }
}

const boxAt = (boxes: Float32Array, i: number): Box =>
  [boxes[4 * i]!, boxes[4 * i + 1]!, boxes[4 * i + 2]!, boxes[4 * i + 3]!] as const;

/** The pixels whose centre lies in a box: half-open ranges. */
function pixelsOf([x1, y1, x2, y2]: Box, { width, height }: RgbImage): [number, number, number, number] {
  const edge = (value: number, most: number): number => Math.min(Math.max(Math.ceil(value - 0.5), 0), most);
  return [edge(x1, width), edge(y1, height), edge(x2, width), edge(y2, height)];
}
