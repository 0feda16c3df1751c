import { AugmentError } from "./errors.js";
import { flipHorizontal, flipVertical } from "./flip.js";
import { type HsvRange, hsvJitter } from "./hsv-jitter.js";
import type { InstanceRules } from "./instances.js";
import { type AffineRange, affineSample, mosaic } from "./mosaic.js";
import { CounterRandom } from "./philox.js";
import type { Sample } from "./sample.js";

/** The training pipeline's settings; the defaults are those of YOLOv8. */
export interface AugmentOptions extends AffineRange {
  /** Probability of a mosaic. Pass 0 in the last epochs ({@link mosaicIsOpen}). @defaultValue 1 */
  readonly mosaic?: number;
  /** Probability. @defaultValue 0.5 */
  readonly fliplr?: number;
  /** Probability. @defaultValue 0 */
  readonly flipud?: number;
  /** Ranges of the colour gains; false leaves colours alone. */
  readonly hsv?: HsvRange | false;
  /** Gray level of what no picture covers. @defaultValue 114 */
  readonly fill?: number;
  readonly rules?: InstanceRules;
}

/** Whether mosaics are still on: off in the last min(closeMosaic, ceil(0.1 * epochs)) epochs, so that training ends on real scenes. */
export function mosaicIsOpen({
  epoch,
  epochs,
  closeMosaic = 10,
}: {
  /** From 0. */
  epoch: number;
  epochs: number;
  closeMosaic?: number;
}): boolean {
  return epoch < epochs - Math.min(closeMosaic, Math.ceil(0.1 * epochs));
}

/**
 * The whole training pipeline of one picture: mosaic or single picture with random scale and shift, flips, colour. Every draw comes from a
 * counter keyed by (seed, path, epoch, index), so a result depends on nothing else: not on workers, order, resume or other settings.
 *
 * @param params.load - sample of a dataset index, about `size` px, not augmented; its pixels are not changed
 * @param params.index - in [0, count)
 * @param params.count - samples that donors are drawn from
 * @param params.epoch - from 0
 * @returns size x size
 * @throws AugmentError `invalid_option`, `invalid_image`, `invalid_instance`
 */
export function augmentSample({
  load,
  index,
  count,
  seed,
  epoch,
  size,
  options = {},
}: {
  load: (index: number) => Sample;
  index: number;
  count: number;
  seed: number;
  epoch: number;
  size: number;
  options?: AugmentOptions;
}): Sample {
  const { mosaic: mosaicP = 1, scale = 0.5, translate = 0.1, fliplr = 0.5, flipud = 0, hsv = {}, fill = 114 } = options;
  const { rules = {} } = options;
  for (const [name, p] of Object.entries({ mosaic: mosaicP, fliplr, flipud })) {
    if (!(p >= 0 && p <= 1)) {
      throw new AugmentError({ code: "invalid_option", message: `${name} is a probability in [0, 1], got ${p}.` });
    }
  }
  if (!(Number.isInteger(index) && Number.isInteger(count) && index >= 0 && index < count)) {
    throw new AugmentError({ code: "invalid_option", message: `index ${index} is not in [0, ${count}).` });
  }
  const stream = (path: string) => new CounterRandom({ seed, path, epoch, index });
  /** Draw 0 of each path is its gate, consumed whatever the probability. */
  const gated = (path: string, p: number) => {
    const random = stream(path);
    return { random, applies: random.uniform() < p };
  };

  const mixing = gated("mosaic#0", mosaicP);
  const geometry = gated("Affine#0", 1);
  const canvas = { size, scale, translate, fill, rules };
  let sample: Sample;
  if (mixing.applies) {
    const donors = [1, 2, 3].map((tile) => load(donorIndex(stream(`mosaic#0/donor${tile}`), index, count)));
    sample = mosaic({
      ...canvas,
      samples: [load(index), ...donors],
      random: mixing.random,
      affineRandom: geometry.random,
    });
  } else {
    sample = affineSample({ ...canvas, sample: load(index), random: geometry.random });
  }
  if (gated("HorizontalFlip#0", fliplr).applies) sample = flipHorizontal(sample);
  if (gated("VerticalFlip#0", flipud).applies) sample = flipVertical(sample);
  const colour = gated("Hsv#0", 1);
  if (hsv !== false) sample = { ...sample, image: hsvJitter(sample.image, { ...hsv, random: colour.random }) };
  return sample;
}

/** Any other sample; the sample itself only when there is no other. */
function donorIndex(random: CounterRandom, index: number, count: number): number {
  if (count === 1) return index;
  const drawn = random.integer(0, count - 2);
  return drawn >= index ? drawn + 1 : drawn;
}
