import { z } from "zod";
import { integer, number, type Range, range } from "../core/schemas.js";
import { draw, f, type ImageTransform, type PointwiseTransform } from "../core/transform.js";

/** y = (1 + contrast) (x - pivot) + pivot + 255 brightness. `pivot: 0` compares with libraries whose contrast also brightens. */
export const RandomBrightnessContrast: PointwiseTransform<
  { brightness: Range; contrast: Range; pivot: number },
  { brightness: number; contrast: number; pivot: number }
> = {
  type: "RandomBrightnessContrast",
  kind: "pointwise",
  schema: z.strictObject({
    brightness: range(-1, 1).default([-0.2, 0.2]),
    contrast: range(-1, 10).default([-0.2, 0.2]),
    pivot: number(0, 255).default(127.5),
  }),
  keys: ["brightness", "contrast", "pivot"],
  sample: (random, { brightness, contrast, pivot }) => ({
    brightness: draw(random, brightness),
    contrast: draw(random, contrast),
    pivot,
  }),
  curve:
    ({ brightness, contrast, pivot }) =>
    (x) =>
      (1 + contrast) * (x - pivot) + pivot + 255 * brightness,
};

/** y = 255 (x / 255) ^ gamma, gamma log-uniform: a factor and its inverse are equally likely. */
export const RandomGamma: PointwiseTransform<{ gamma: Range }, { gamma: number }> = {
  type: "RandomGamma",
  kind: "pointwise",
  schema: z.strictObject({ gamma: range(0.05, 20).default([0.8, 1.25]) }),
  keys: ["gamma"],
  sample: (random, { gamma: [low, high] }) => ({
    gamma: f(Math.exp(random.uniform(Math.log(low), Math.log(high)))),
  }),
  curve:
    ({ gamma }) =>
    (x) =>
      255 * (x / 255) ** gamma,
};

/** Contrast limited adaptive histogram equalisation of luma. */
export const CLAHE: ImageTransform<
  { clipLimit: Range; tiles: readonly [number, number] },
  { clipLimit: number; columns: number; rows: number }
> = {
  type: "CLAHE",
  kind: "image",
  schema: z.strictObject({
    clipLimit: range(1, 255).default([1, 4]),
    tiles: z
      .tuple([integer(1, 64), integer(1, 64)])
      .readonly()
      .default([8, 8]),
  }),
  keys: ["clipLimit", "tiles"],
  sample: (random, { clipLimit, tiles }, { width, height }) => ({
    clipLimit: draw(random, clipLimit),
    // A tile holds at least one pixel.
    columns: Math.min(tiles[0], width),
    rows: Math.min(tiles[1], height),
  }),
  apply: (image, { clipLimit, columns, rows }, { kernels }) => kernels.clahe(image, clipLimit, columns, rows),
};
