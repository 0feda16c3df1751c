import {
  type Affine,
  type CounterRandom,
  clipInstances,
  flipHorizontal,
  transformInstances,
  warpAffine,
} from "@seg/augment";
import type { DetectorItem } from "./detector-item.js";

/** Mild geometry for fine-tuning: no mosaic or mixup, whose pictures a pre-trained detector has never seen. */
export interface DetectorAugmentation {
  /** Mirror half of the pictures. Turn it off where left and right are classes. @defaultValue true */
  readonly mirror?: boolean;
  /** Range of the scale about the centre. @defaultValue [0.85, 1.1] */
  readonly scale?: readonly [number, number];
  /** Largest shift as a share of the sides. @defaultValue 0.06 */
  readonly shift?: number;
}

/** A view of the picture in its own size; objects of which less than a tenth stays in the picture are dropped. */
export function augmentItem(
  { image, instances }: DetectorItem,
  { mirror = true, scale = [0.85, 1.1], shift = 0.06 }: DetectorAugmentation,
  random: CounterRandom,
): DetectorItem {
  const { width, height } = image;
  const gain = random.uniform(scale[0], scale[1]);
  const dx = random.uniform(-shift, shift) * width;
  const dy = random.uniform(-shift, shift) * height;
  const isMirrored = mirror && random.uniform() < 0.5;
  const affine: Affine = [gain, 0, (width / 2) * (1 - gain) + dx, 0, gain, (height / 2) * (1 - gain) + dy];
  const samples = instances.map(({ classId, box }) => ({ classId, box, matrix: [1, 0, 0, 0, 1, 0] as Affine }));
  const moved = clipInstances(transformInstances(samples, affine), [0, 0, width, height]);
  const sample = { image: warpAffine(image, affine, { width, height }), instances: moved };
  const { image: view, instances: objects } = isMirrored ? flipHorizontal(sample) : sample;
  return { image: view, instances: objects.map(({ classId, box }) => ({ classId, box })) };
}
