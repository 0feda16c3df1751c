/** What {@link optimizerAuto} decides, with the iteration count it decided by. */
export type AutoOptimizer =
  | {
      readonly optimizer: "sgd";
      readonly lr: number;
      readonly momentum: number;
      readonly nesterov: true;
      readonly warmupBiasLr: 0;
      readonly iterations: number;
    }
  | {
      readonly optimizer: "adamw";
      readonly lr: number;
      readonly betas: readonly [number, number];
      readonly warmupBiasLr: 0;
      readonly iterations: number;
    };

/**
 * The rule behind `optimizer: auto`: iterations = ceil(images / max(batch, 64)) * epochs; above 10,000 SGD 0.01 with Nesterov
 * momentum 0.9, else AdamW with lr = 0.002 * 5 / (4 + classes), rounded to six decimals.
 *
 * @example optimizerAuto({ images: 200, batch: 16, epochs: 30, classes: 3 }).lr // 0.001429
 */
export function optimizerAuto({
  images,
  batch,
  epochs,
  classes,
}: {
  images: number;
  batch: number;
  epochs: number;
  classes: number;
}): AutoOptimizer {
  const iterations = Math.ceil(images / Math.max(batch, 64)) * epochs;
  if (iterations > 10_000) {
    return { optimizer: "sgd", lr: 0.01, momentum: 0.9, nesterov: true, warmupBiasLr: 0, iterations };
  }
  const lr = Math.round(((0.002 * 5) / (4 + classes)) * 1e6) / 1e6;
  return { optimizer: "adamw", lr, betas: [0.9, 0.999], warmupBiasLr: 0, iterations };
}
