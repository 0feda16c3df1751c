/** Options of {@link schedule}. */
export interface ScheduleOptions {
  /** @defaultValue "cosine" */
  readonly kind?: "cosine" | "linear" | "constant" | "polynomial" | "multistep";
  readonly epochs: number;
  /** Batches per epoch. */
  readonly stepsPerEpoch: number;
  /** Learning rate that factor 1 stands for; needed to turn `minLr` into a factor. */
  readonly baseLr: number;
  /** Lowest learning rate of `cosine` and `polynomial`. @defaultValue 1e-5 */
  readonly minLr?: number;
  /** Last factor of `linear`. @defaultValue 0.01 */
  readonly lrf?: number;
  /** Epochs during which `cosine` and `polynomial` stay at 1, so that the descent starts when the warm-up ends. @defaultValue 0 */
  readonly warmupEpochs?: number;
  /** Exponent of `polynomial`. @defaultValue 1 */
  readonly power?: number;
  /** Epochs from which `multistep` multiplies once more by `gamma`. @defaultValue [] */
  readonly milestones?: readonly number[];
  /** @defaultValue 0.1 */
  readonly gamma?: number;
  /** Whether the factor moves once per epoch or with every batch. @defaultValue "epoch" */
  readonly per?: "epoch" | "step";
}

/**
 * Learning-rate factor over 0-based batch counts. With e the epoch (0-based; fractional `per` step), E the epochs, W the warm-up:
 * `cosine` [min + (base - min)(1 + cos(pi (e - W)/(E - W)))/2] / base, 1 before W; `linear` max(1 - e/E, 0)(1 - lrf) + lrf; `constant` 1;
 * `polynomial` [min + (base - min)(1 - (e - W)/(E - W))^power] / base, 1 before W; `multistep` gamma^(number of milestones <= e).
 */
export function schedule({
  kind = "cosine",
  epochs,
  stepsPerEpoch,
  baseLr,
  minLr = 1e-5,
  lrf = 0.01,
  warmupEpochs = 0,
  power = 1,
  milestones = [],
  gamma = 0.1,
  per = "epoch",
}: ScheduleOptions): (step: number) => number {
  // A minimum above the base would make the rate rise.
  const low = Math.min(minLr / baseLr, 1);
  const progress = (epoch: number): number => {
    const span = epochs - warmupEpochs;
    return span <= 0 ? 0 : Math.min(Math.max((epoch - warmupEpochs) / span, 0), 1);
  };
  return (step) => {
    const epoch = per === "epoch" ? Math.floor(step / stepsPerEpoch) : step / stepsPerEpoch;
    switch (kind) {
      case "constant":
        return 1;
      case "linear":
        return Math.max(1 - epoch / epochs, 0) * (1 - lrf) + lrf;
      case "multistep":
        return gamma ** milestones.filter((milestone) => milestone <= epoch).length;
      case "polynomial":
        return low + (1 - low) * (1 - progress(epoch)) ** power;
      case "cosine":
        return low + ((1 - low) * (1 + Math.cos(Math.PI * progress(epoch)))) / 2;
    }
  };
}

/** Options of {@link warmup}. */
export interface WarmupOptions {
  /** @defaultValue "linear" */
  readonly kind?: "linear" | "cosine" | "constant";
  readonly epochs: number;
  /** Batches per epoch. */
  readonly stepsPerEpoch: number;
  /** @defaultValue 3 */
  readonly warmupEpochs?: number;
  /** Replaces `warmupEpochs`. */
  readonly warmupSteps?: number;
  /** First factor. @defaultValue 0.1 */
  readonly warmupRatio?: number;
  /** First learning rate; replaces `warmupRatio`, needs `baseLr`. */
  readonly warmupLr?: number;
  /** First learning rate of the group `bias`; needs `baseLr`. @defaultValue as the other groups */
  readonly warmupBiasLr?: number;
  readonly baseLr?: number;
  /** Holds the factor within an epoch. @defaultValue true */
  readonly byEpoch?: boolean;
}

/** Batches of warm-up, clamped so that at least one epoch is left. */
export function warmupLength({
  epochs,
  stepsPerEpoch,
  warmupEpochs = 3,
  warmupSteps,
}: Pick<WarmupOptions, "epochs" | "stepsPerEpoch" | "warmupEpochs" | "warmupSteps">): number {
  const wanted = warmupSteps ?? Math.round(warmupEpochs * stepsPerEpoch);
  return Math.min(wanted, Math.max(epochs - 1, 0) * stepsPerEpoch);
}

/** Progress of the warm-up, min(step / length, 1). */
function warmupProgress(step: number, length: number, hold: number): number {
  if (length <= 0) return 1;
  return Math.min((Math.floor(step / hold) * hold) / length, 1);
}

/**
 * Warm-up factor over 0-based batch counts, to multiply with {@link schedule}. With progress p and start r: `linear` r + (1 - r) p;
 * `cosine` r + (1 - r)(1 - cos(pi p))/2; `constant` r until p = 1. The second argument names the parameter group.
 */
export function warmup(options: WarmupOptions): (step: number, group?: string) => number {
  const { kind = "linear", stepsPerEpoch, warmupRatio = 0.1, warmupLr, warmupBiasLr, baseLr, byEpoch = true } = options;
  const length = warmupLength(options);
  const relative = (lr: number) => {
    if (baseLr === undefined) throw new RangeError("warmup: warmupLr and warmupBiasLr need baseLr.");
    return lr / baseLr;
  };
  const start = warmupLr === undefined ? warmupRatio : relative(warmupLr);
  const biasStart = warmupBiasLr === undefined ? start : relative(warmupBiasLr);
  const hold = byEpoch ? stepsPerEpoch : 1;
  return (step, group) => {
    const r = group === "bias" ? biasStart : start;
    const p = warmupProgress(step, length, hold);
    if (p >= 1) return 1;
    if (kind === "constant") return r;
    return r + (1 - r) * (kind === "linear" ? p : (1 - Math.cos(Math.PI * p)) / 2);
  };
}

/**
 * The published YOLO warm-up beside the learning rate: momentum rises from 0.8, accumulation from 1 to nbs/batch, both linearly.
 * Use with `warmup({ warmupRatio: 0, warmupBiasLr: 0.1, byEpoch: false })`.
 */
export function yoloWarmup({
  batch,
  nbs = 64,
  momentum = 0.937,
  warmupMomentum = 0.8,
  ...length
}: Pick<WarmupOptions, "epochs" | "stepsPerEpoch" | "warmupEpochs" | "warmupSteps"> & {
  /** Images per batch. */
  batch: number;
  /** Nominal batch size. @defaultValue 64 */
  nbs?: number;
  /** @defaultValue 0.937 */
  momentum?: number;
  /** @defaultValue 0.8 */
  warmupMomentum?: number;
}): { momentum(step: number): number; accumulate(step: number): number } {
  const steps = warmupLength(length);
  const full = Math.max(Math.round(nbs / batch), 1);
  return {
    momentum: (step) => warmupMomentum + (momentum - warmupMomentum) * warmupProgress(step, steps, 1),
    accumulate: (step) => Math.max(1, Math.round(1 + (nbs / batch - 1) * warmupProgress(step, steps, 1)) || full),
  };
}
