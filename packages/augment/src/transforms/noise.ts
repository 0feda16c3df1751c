import { z } from "zod";
import { type Range, range } from "../core/schemas.js";
import { f, type ImageTransform } from "../core/transform.js";

/** Additive Gaussian noise, std of full scale, log-uniform; read from a table of normals at offsets drawn for each row. */
export const GaussNoise: ImageTransform<
  { std: Range; perChannel: boolean },
  { std: number; perChannel: boolean; key: number }
> = {
  type: "GaussNoise",
  kind: "image",
  schema: z.strictObject({ std: range(0, 1).default([0.0124, 0.0277]), perChannel: z.boolean().default(true) }),
  keys: ["std", "perChannel"],
  sample(random, { std: [low, high], perChannel }) {
    const u = random.uniform();
    // The logarithm of 0 is no range: from 0 on the drawing is uniform.
    const std = low > 0 ? Math.exp(Math.log(low) + u * Math.log(high / low)) : low + u * (high - low);
    return { std: f(std), perChannel, key: random.uint32() };
  },
  apply(image, { std, perChannel, key }, { kernels, random }) {
    if (std === 0) return;
    // table * scale / 2^shift with a table unit of 2^12: scale below 2^15 keeps the product in 32 bits.
    let shift = 22;
    let scale = Math.round(std * 255 * 2 ** (shift - 12));
    while (scale >= 32768) {
      shift--;
      scale = Math.round(std * 255 * 2 ** (shift - 12));
    }
    const stream = random(key);
    const offsets = Uint32Array.from({ length: image.height }, () => stream.uint32());
    kernels.noise(image, offsets, scale, shift, !perChannel);
  },
};
