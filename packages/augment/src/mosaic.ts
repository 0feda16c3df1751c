import type { Box } from "@seg/coco-dataset";
import { type Affine, composeAffine } from "./affine.js";
import { AugmentError } from "./errors.js";
import { clipInstances, type InstanceRules, transformInstances } from "./instances.js";
import type { CounterRandom } from "./philox.js";
import { checkSample, type Sample, type SampleInstance } from "./sample.js";
import { blankImage, warpInto } from "./warp.js";

/** Random scale and shift of the canvas. */
export interface AffineRange {
  /** Gain is uniform in [1 - scale, 1 + scale]. @defaultValue 0.5 */
  readonly scale?: number;
  /** Shift is uniform in [-translate, translate] of the canvas side. @defaultValue 0.1 */
  readonly translate?: number;
}

/** Options that mosaics and single pictures share. */
export interface CanvasOptions extends AffineRange {
  /** Side of the square result, pixels. */
  readonly size: number;
  readonly random: CounterRandom;
  /** Gray level of what no picture covers. @defaultValue 114 */
  readonly fill?: number;
  readonly rules?: InstanceRules;
}

function checkRange({ size, scale = 0.5, translate = 0.1 }: AffineRange & { size: number }): void {
  if (!(Number.isInteger(size) && size > 0 && size <= 32767)) {
    throw new AugmentError({ code: "invalid_option", message: `size must be an integer in 1..32767, got ${size}.` });
  }
  if (!(scale >= 0 && scale < 1 && translate >= 0 && translate <= 1)) {
    throw new AugmentError({
      code: "invalid_option",
      message: `scale must be in [0, 1) and translate in [0, 1], got ${scale} and ${translate}.`,
    });
  }
}

/** About the centre of a canvas of `from` px, onto the shifted centre of one of `size` px. Consumes three numbers. */
function drawAffine(
  random: CounterRandom,
  from: number,
  size: number,
  { scale = 0.5, translate = 0.1 }: AffineRange,
): Affine {
  const gain = Math.fround(random.uniform(1 - scale, 1 + scale));
  const shiftX = Math.fround(random.uniform(-translate, translate) * size);
  const shiftY = Math.fround(random.uniform(-translate, translate) * size);
  const centre = from / 2;
  return [gain, 0, size / 2 + shiftX - gain * centre, 0, gain, size / 2 + shiftY - gain * centre];
}

/** The part of `rect` on the canvas, after a map without rotation. */
function placedRect([x1, y1, x2, y2]: Box, [a, , c, , e, f]: Affine, size: number): Box {
  return [Math.max(0, a * x1 + c), Math.max(0, e * y1 + f), Math.min(size, a * x2 + c), Math.min(size, e * y2 + f)];
}

/**
 * Four pictures around a random centre (uniform in [0.5, 1.5] * size) of a canvas of twice the size, then a random scale and shift about the
 * canvas centre back to size x size. The canvas is never made: each picture is warped once, straight to its final place. Objects
 * are clipped to what is left of their own picture.
 *
 * @param options.samples - top left, top right, bottom left, bottom right; each about `size` px, each touches the centre with its inner corner
 * @param options.random - draws the centre
 * @param options.affineRandom - draws scale and shift. @defaultValue `random`
 * @throws AugmentError `missing_donor` unless there are four, `invalid_option`, `invalid_image`, `invalid_instance`
 */
export function mosaic({
  samples,
  size,
  random,
  affineRandom = random,
  scale = 0.5,
  translate = 0.1,
  fill = 114,
  rules = {},
}: CanvasOptions & { samples: readonly Sample[]; affineRandom?: CounterRandom }): Sample {
  checkRange({ size, scale, translate });
  if (samples.length !== 4) {
    throw new AugmentError({ code: "missing_donor", message: `A mosaic needs 4 samples, got ${samples.length}.` });
  }
  const centreX = Math.floor(random.uniform(0.5, 1.5) * size);
  const centreY = Math.floor(random.uniform(0.5, 1.5) * size);
  const global = drawAffine(affineRandom, 2 * size, size, { scale, translate });
  const image = blankImage(size, size, fill);
  const instances: SampleInstance[] = [];
  samples.forEach((sample, tile) => {
    checkSample(sample);
    const { width, height } = sample.image;
    const left = tile % 2 === 0 ? centreX - width : centreX;
    const top = tile < 2 ? centreY - height : centreY;
    const affine = composeAffine([1, 0, left, 0, 1, top], global);
    // What the doubled canvas would have kept of this picture, in the picture's own pixels.
    const visible: Box = [
      Math.max(0, -left),
      Math.max(0, -top),
      Math.min(width, 2 * size - left),
      Math.min(height, 2 * size - top),
    ];
    if (!(visible[2] > visible[0] && visible[3] > visible[1])) return;
    warpInto({ target: image, image: sample.image, affine, sourceRect: visible });
    const moved = transformInstances(sample.instances, affine);
    instances.push(...clipInstances(moved, placedRect(visible, affine, size), rules));
  });
  return { image, instances };
}

/**
 * One picture, centred on a size x size canvas (the odd pixel goes right and bottom), scaled and shifted about the canvas centre.
 * With scale and translate 0 the pixels are copied.
 *
 * @throws AugmentError `invalid_option`, `invalid_image`, `invalid_instance`
 */
export function affineSample({
  sample,
  size,
  random,
  scale = 0.5,
  translate = 0.1,
  fill = 114,
  rules = {},
}: CanvasOptions & { sample: Sample }): Sample {
  checkRange({ size, scale, translate });
  checkSample(sample);
  const { width, height } = sample.image;
  const place: Affine = [1, 0, Math.floor((size - width) / 2), 0, 1, Math.floor((size - height) / 2)];
  const affine = composeAffine(place, drawAffine(random, size, size, { scale, translate }));
  const image = blankImage(size, size, fill);
  warpInto({ target: image, image: sample.image, affine });
  const moved = transformInstances(sample.instances, affine);
  return { image, instances: clipInstances(moved, placedRect([0, 0, width, height], affine, size), rules) };
}
