import { z } from "zod";
import { type FillColor, fillColor, integerRange, number, type Range, range } from "../core/schemas.js";
import { draw, type ImageTransform } from "../core/transform.js";

interface Params {
  numHoles: Range;
  holeFrac: Range;
  fill: FillColor | "random";
  boxPolicy: "keep" | "visible";
  maskPolicy: "keep" | "erase";
  maxObjectCoverage: number;
}
interface Sampled {
  /** x1, y1, x2, y2 of each hole, whole pixels. */
  holes: readonly number[];
  fill: FillColor | "random";
  key: number;
  boxPolicy: "keep" | "visible";
  maskPolicy: "keep" | "erase";
  readonly [key: string]: unknown;
}

const TRIES = 10;

/**
 * Covers rectangles of holeFrac of each side. A hole that hides more than maxObjectCoverage of an instance is drawn anew (ten tries, else left
 * out). Boxes and masks stay as they are (robustness to occlusion) unless `boxPolicy: visible` or `maskPolicy: erase`.
 */
export const CoarseDropout: ImageTransform<Params, Sampled> = {
  type: "CoarseDropout",
  kind: "image",
  hidesInstances: true,
  schema: z.strictObject({
    numHoles: integerRange(1, 64).default([1, 2]),
    holeFrac: range(0.001, 1).default([0.1, 0.2]),
    fill: z.union([z.literal("random"), fillColor]).default(0),
    boxPolicy: z.enum(["keep", "visible"]).default("keep"),
    maskPolicy: z.enum(["keep", "erase"]).default("keep"),
    maxObjectCoverage: number(0, 1).default(0.45),
  }),
  keys: ["numHoles", "holeFrac", "fill", "boxPolicy", "maskPolicy", "maxObjectCoverage"],
  sample(random, { numHoles, holeFrac, fill, boxPolicy, maskPolicy, maxObjectCoverage }, context) {
    const { width, height } = context;
    const count = random.integer(numHoles[0], numHoles[1]);
    const key = random.uint32();
    const holes: number[] = [];
    for (let k = 0; k < count; k++) {
      let isPlaced = false;
      for (let attempt = 0; attempt < TRIES && !isPlaced; attempt++) {
        const w = Math.max(1, Math.round(draw(random, holeFrac) * width));
        const h = Math.max(1, Math.round(draw(random, holeFrac) * height));
        const x = random.integer(0, Math.max(0, width - w));
        const y = random.integer(0, Math.max(0, height - h));
        const hole = [x, y, Math.min(width, x + w), Math.min(height, y + h)] as const;
        if (context.coverage(hole) > maxObjectCoverage) continue;
        holes.push(...hole);
        isPlaced = true;
      }
      if (!isPlaced) context.note(`a hole would hide more than ${maxObjectCoverage} of an instance: left out`);
    }
    return holes.length === 0 ? null : { holes, fill, key, boxPolicy, maskPolicy };
  },
  apply(image, { holes, fill, key, boxPolicy, maskPolicy }, context) {
    const { width, channels, data } = image;
    const random = context.random(key);
    const rects = [];
    for (let k = 0; k < holes.length; k += 4) {
      const [x1, y1, x2, y2] = holes.slice(k, k + 4) as [number, number, number, number];
      rects.push([x1, y1, x2, y2] as const);
      if (fill === "random") {
        // Noise, four bytes a word.
        for (let y = y1; y < y2; y++) {
          let word = 0;
          for (let i = (y * width + x1) * channels, n = 0; i < (y * width + x2) * channels; i++, n++) {
            word = n % 4 === 0 ? random.uint32() : word >>> 8;
            data[i] = word & 255;
          }
        }
        continue;
      }
      for (let y = y1; y < y2; y++) {
        if (typeof fill === "number") {
          data.fill(Math.round(fill), (y * width + x1) * channels, (y * width + x2) * channels);
        } else {
          for (let i = (y * width + x1) * channels, c = 0; i < (y * width + x2) * channels; i++) {
            data[i] = Math.round(fill[c] ?? fill[0]!);
            c = c + 1 === channels ? 0 : c + 1;
          }
        }
      }
    }
    context.hide(rects, { erase: maskPolicy === "erase", visibleBoxes: boxPolicy === "visible" });
  },
};
