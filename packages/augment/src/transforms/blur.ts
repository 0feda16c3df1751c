import { z } from "zod";
import { type Range, range } from "../core/schemas.js";
import { draw, f, type ImageTransform, type SampleContext } from "../core/transform.js";
import { AugmentConfigError } from "../errors.js";
import type { WorkImage } from "../kernels/work-image.js";

/** Odd, at least 3, nearest to the fraction of S. */
export const oddKernel = (fraction: number, size: number): number =>
  Math.max(3, 2 * Math.round((fraction * size - 1) / 2) + 1);

/** Mean of k x k pixels. */
export const Blur: ImageTransform<{ sizeFrac: Range }, { k: number }> = {
  type: "Blur",
  kind: "image",
  schema: z.strictObject({ sizeFrac: range(0, 0.25).default([0.005, 0.011]) }),
  keys: ["sizeFrac"],
  sample: (random, { sizeFrac }, { size }) => ({ k: oddKernel(draw(random, sizeFrac), size) }),
  apply: (image, { k }, { kernels }) => kernels.boxBlur(image, k),
};

/** 12-bit weights of a Gaussian over 3 sigma; the centre takes what rounding leaves. */
export function gaussianWeights(sigma: number): Int32Array {
  const radius = Math.max(1, Math.ceil(3 * sigma));
  const raw = Array.from({ length: 2 * radius + 1 }, (_, i) => Math.exp(-((i - radius) ** 2) / (2 * sigma * sigma)));
  const sum = raw.reduce((a, b) => a + b, 0);
  const weights = Int32Array.from(raw, (value) => Math.round((4096 * value) / sum));
  weights[radius]! += 4096 - weights.reduce((a, b) => a + b, 0);
  return weights;
}

interface GaussianParams {
  sigma: Range;
  backend: "kernels" | "sharp";
}
interface GaussianSampled {
  sigma: number;
  backend: "kernels" | "sharp";
  readonly [key: string]: unknown;
}

/** libvips' smallest sigma. */
const SHARP_MIN_SIGMA = 0.3;

/**
 * Gaussian blur; sigma in pixels at S = 640, scales with S. `backend: sharp` hands the pixels to libvips (asynchronous; sharp must be installed).
 */
export const GaussianBlur: ImageTransform<GaussianParams, GaussianSampled> = {
  type: "GaussianBlur",
  kind: "image",
  schema: z.strictObject({
    sigma: range(0, 100).default([0.5, 3]),
    backend: z.enum(["kernels", "sharp"]).default("kernels"),
  }),
  keys: ["sigma", "backend"],
  sample: (random, { sigma, backend }, { size }) => ({ sigma: f((draw(random, sigma) * size) / 640), backend }),
  apply(image, { sigma }, { kernels }) {
    // Below a tenth of a pixel all weight stays in the centre.
    if (sigma >= 0.1) kernels.separable(image, gaussianWeights(sigma));
  },
  applyAsync: (image, { sigma, backend }, context) =>
    backend === "sharp" && sigma >= SHARP_MIN_SIGMA ? blurWithSharp(image, sigma, context) : null,
};

async function blurWithSharp(image: WorkImage, sigma: number, { note }: SampleContext): Promise<void> {
  let sharp: typeof import("sharp").default;
  try {
    sharp = (await import("sharp")).default;
  } catch (cause) {
    throw new AugmentConfigError({
      path: "GaussianBlur.backend",
      message: `sharp is not installed. Run "npm install sharp", or use backend: kernels`,
      cause,
    });
  }
  const { width, height, channels } = image;
  // A copy: WASM memory must not be handed to another thread.
  const { data } = await sharp(image.data.slice(), { raw: { width, height, channels: channels as 1 | 2 | 3 | 4 } })
    .blur(sigma)
    .raw()
    .toBuffer({ resolveWithObject: true });
  if (data.length === image.data.length) image.data.set(data);
  else note(`sharp returned ${data.length} bytes instead of ${image.data.length}: skipped`);
}

/** Offsets of a line of k pixels through the centre, symmetric: content does not move against its labels. */
export function lineOffsets(k: number, degrees: number, isShifted = 0): Int32Array {
  const half = (k - 1) / 2;
  const cos = Math.cos((degrees * Math.PI) / 180);
  const sin = Math.sin((degrees * Math.PI) / 180);
  const offsets = new Int32Array(2 * k);
  for (let i = 0; i < k; i++) {
    const at = i - half + isShifted;
    // + 0 turns -0 into 0.
    offsets[2 * i] = Math.sign(at) * Math.round(Math.abs(at) * cos) + 0;
    offsets[2 * i + 1] = -Math.sign(at) * Math.round(Math.abs(at) * sin) + 0;
  }
  return offsets;
}

interface MotionParams {
  sizeFrac: Range;
  angle: Range;
  allowShifted: boolean;
}

/** Mean along a line of k pixels. `allowShifted` moves the line by up to k / 4 along itself, and the content against its labels with it. */
export const MotionBlur: ImageTransform<MotionParams, { k: number; angle: number; shift: number }> = {
  type: "MotionBlur",
  kind: "image",
  schema: z.strictObject({
    sizeFrac: range(0, 0.25).default([0.005, 0.016]),
    angle: range(-360, 360).default([0, 360]),
    allowShifted: z.boolean().default(false),
  }),
  keys: ["sizeFrac", "angle", "allowShifted"],
  sample(random, { sizeFrac, angle, allowShifted }, { size }) {
    const k = oddKernel(draw(random, sizeFrac), size);
    const degrees = draw(random, angle);
    const shift = Math.round(random.uniform(-k / 4, k / 4));
    return { k, angle: degrees, shift: allowShifted ? shift : 0 };
  },
  apply: (image, { k, angle, shift }, { kernels }) => kernels.lineBlur(image, lineOffsets(k, angle, shift)),
};

/** Kernel (1 - a) I + a [-1 ..., 8 + lightness, ... -1]; the weights sum to (1 - a) + a lightness. */
export const Sharpen: ImageTransform<{ alpha: Range; lightness: Range }, { alpha: number; lightness: number }> = {
  type: "Sharpen",
  kind: "image",
  schema: z.strictObject({ alpha: range(0, 1).default([0.2, 0.5]), lightness: range(0, 4).default([1, 1]) }),
  keys: ["alpha", "lightness"],
  sample: (random, { alpha, lightness }) => ({ alpha: draw(random, alpha), lightness: draw(random, lightness) }),
  apply(image, { alpha, lightness }, { kernels }) {
    // centre * x - side * (sum of nine): the sum holds x itself once more.
    const side = Math.round(4096 * alpha);
    const centre = Math.round(4096 * (1 - alpha + alpha * (8 + lightness))) + side;
    if (side > 0) kernels.sharpen(image, centre, side);
  },
};
