import { z } from "zod";
import { type Range, range } from "../core/schemas.js";
import { draw, type ImageTransform } from "../core/transform.js";
import type { Kernels } from "../kernels/kernels.js";
import type { WorkImage } from "../kernels/work-image.js";

/** ITU-R BT.601 luma. */
const LUMA = [0.299, 0.587, 0.114] as const;

/** 3 x 4 colour map, row-major: R G B offset. */
type ColorMap = readonly number[];
const SAME: ColorMap = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0];

function after(first: ColorMap, second: ColorMap): ColorMap {
  const out = new Array<number>(12);
  for (let r = 0; r < 3; r++) {
    for (let c = 0; c < 4; c++) {
      let sum = c === 3 ? second[4 * r + 3]! : 0;
      for (let k = 0; k < 3; k++) sum += second[4 * r + k]! * first[4 * k + c]!;
      out[4 * r + c] = sum;
    }
  }
  return out;
}

const gain = (k: number, offset = 0): ColorMap => [k, 0, 0, offset, 0, k, 0, offset, 0, 0, k, offset];

/** Blend with gray: k x + (1 - k) luma. */
function saturate(k: number): ColorMap {
  const [r, g, b] = LUMA.map((weight) => (1 - k) * weight) as [number, number, number];
  return [r + k, g, b, 0, r, g + k, b, 0, r, g, b + k, 0];
}

/** Turns the chroma plane of YIQ: luma stays, gray stays gray. */
function turnHue(turns: number): ColorMap {
  const cos = Math.cos(2 * Math.PI * turns);
  const sin = Math.sin(2 * Math.PI * turns);
  // RGB = Y + inverse(YIQ) * (I, Q); its columns and the rows that give I and Q from RGB. Derived so that turning by 0 is the identity.
  const i = [0.5959, -0.2746, -0.3213];
  const q = [0.2115, -0.5227, 0.3112];
  // Solve for the basis: columns of the inverse of [LUMA; i; q].
  const inverse = invert3([...LUMA, ...i, ...q]);
  const out: number[] = [];
  for (let r = 0; r < 3; r++) {
    for (let c = 0; c < 3; c++) {
      const I = cos * i[c]! - sin * q[c]!;
      const Q = sin * i[c]! + cos * q[c]!;
      out.push(inverse[3 * r]! * LUMA[c]! + inverse[3 * r + 1]! * I + inverse[3 * r + 2]! * Q);
    }
    out.push(0);
  }
  return out;
}

function invert3(m: readonly number[]): number[] {
  const [a, b, c, d, e, g, h, i, j] = m as [number, number, number, number, number, number, number, number, number];
  const A = e * j - g * i;
  const B = g * h - d * j;
  const C = d * i - e * h;
  const determinant = a * A + b * B + c * C;
  return [A, c * i - b * j, b * g - c * e, B, a * j - c * h, c * d - a * g, C, b * h - a * i, a * e - b * d].map(
    (value) => value / determinant,
  );
}

interface JitterParams {
  brightness: Range;
  contrast: Range;
  saturation: Range;
  hue: Range;
}
interface JitterSampled {
  brightness: number;
  contrast: number;
  saturation: number;
  hue: number;
  order: readonly number[];
  readonly [key: string]: unknown;
}

/**
 * Brightness x f, contrast x f + (1 - f) mean gray, saturation (blend with gray) and hue (rotation of the chroma plane, in turns) in a
 * random order. All four are affine in RGB, so they become one matrix, rounded and clipped once.
 */
export const ColorJitter: ImageTransform<JitterParams, JitterSampled> = {
  type: "ColorJitter",
  kind: "image",
  needsColor: true,
  schema: z.strictObject({
    brightness: range(0, 4).default([0.8, 1.2]),
    contrast: range(0, 4).default([0.8, 1.2]),
    saturation: range(0, 4).default([0.8, 1.2]),
    hue: range(-0.5, 0.5).default([-0.05, 0.05]),
  }),
  keys: ["brightness", "contrast", "saturation", "hue"],
  sample: (random, { brightness, contrast, saturation, hue }) => ({
    brightness: draw(random, brightness),
    contrast: draw(random, contrast),
    saturation: draw(random, saturation),
    hue: draw(random, hue),
    order: [...random.permutation(4)],
  }),
  apply(image, { brightness, contrast, saturation, hue, order }, { kernels }) {
    let map = SAME;
    let means: readonly [number, number, number] | null = null;
    for (const which of order) {
      if (which === 0 && brightness !== 1) map = after(map, gain(brightness));
      else if (which === 1 && contrast !== 1) {
        means ??= channelMeans(image, kernels);
        let gray = 0;
        for (let c = 0; c < 3; c++) {
          const value =
            map[4 * c]! * means[0] + map[4 * c + 1]! * means[1] + map[4 * c + 2]! * means[2] + map[4 * c + 3]!;
          gray += LUMA[c]! * value;
        }
        map = after(map, gain(contrast, (1 - contrast) * gray));
      } else if (which === 2 && saturation !== 1) map = after(map, saturate(saturation));
      else if (which === 3 && hue !== 0) map = after(map, turnHue(hue));
    }
    if (map === SAME) return;
    kernels.colorMatrix(
      image,
      Int32Array.from(map, (value) => Math.round(value * 4096)),
    );
  },
};

function channelMeans(image: WorkImage, kernels: Kernels): readonly [number, number, number] {
  const n = image.width * image.height;
  const [r, g, b] = kernels.channelSums(image);
  return [r / n, g / n, b / n];
}

/** Adds to hue (half-degrees, 180 = one turn), saturation and value (of 255) in HSV; gray stays gray. */
export const HueSaturationValue: ImageTransform<
  { hue: Range; sat: Range; val: Range },
  { hue: number; sat: number; val: number }
> = {
  type: "HueSaturationValue",
  kind: "image",
  needsColor: true,
  schema: z.strictObject({
    hue: range(-90, 90).default([-20, 20]),
    sat: range(-255, 255).default([-30, 30]),
    val: range(-255, 255).default([-20, 20]),
  }),
  keys: ["hue", "sat", "val"],
  sample: (random, { hue, sat, val }) => ({ hue: draw(random, hue), sat: draw(random, sat), val: draw(random, val) }),
  apply: (image, { hue, sat, val }, { kernels }) => {
    if (hue !== 0 || sat !== 0 || val !== 0) kernels.hsvShift(image, hue, sat, val);
  },
};
