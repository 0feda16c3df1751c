import type { CounterRandom } from "@seg/augment";

/** Phrases of a training caption: more classes than this are sampled. */
export const MAX_TRAINING_PHRASES = 50;

/**
 * Classes of one training caption, in shuffled order: all of them up to `limit`; of more, those in the image and random others, `limit` together
 * (more only where the image alone has more).
 *
 * @param classes - number of classes
 * @param present - class indices of the image's objects; repeats are fine
 * @returns class index of every phrase
 */
export function trainingPhrases({
  classes,
  present,
  random,
  limit = MAX_TRAINING_PHRASES,
}: {
  readonly classes: number;
  readonly present: Iterable<number>;
  readonly random: CounterRandom;
  readonly limit?: number;
}): number[] {
  const order = [...random.permutation(classes)];
  if (classes <= limit) return order;
  const positives = new Set(present);
  let spare = Math.max(limit - positives.size, 0);
  return order.filter((index) => positives.has(index) || spare-- > 0);
}
