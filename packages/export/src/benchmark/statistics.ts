import { CounterRandom } from "@seg/augment";

/**
 * Quantile of unsorted values by linear interpolation between order statistics.
 * @example quantile([4, 1, 3, 2], 0.5) // 2.5
 */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const position = share * (sorted.length - 1);
  const low = Math.floor(position);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low]! + (sorted[high]! - sorted[low]!) * (position - low);
}

/** Median of paired ratios with the bounds of its two-sided 95 % bootstrap interval. */
export interface RatioEstimate {
  median: number;
  low: number;
  high: number;
}

/**
 * Estimates how many times faster an artefact is: median of baseline / artefact over rounds, percentile bootstrap with seeded resampling of
 * the rounds (Efron, 1979).
 */
export function ratioEstimate({
  baseline,
  artefact,
  resamples = 1000,
  seed = 0,
}: {
  /** Milliseconds per round; round i of both lists ran side by side. */
  baseline: readonly number[];
  artefact: readonly number[];
  resamples?: number;
  seed?: number;
}): RatioEstimate {
  const ratios = baseline.map((time, round) => time / artefact[round]!);
  const random = new CounterRandom({ seed, path: "benchmark/bootstrap" });
  const medians: number[] = [];
  for (let i = 0; i < resamples; i++) {
    medians.push(
      quantile(
        ratios.map(() => ratios[random.integer(0, ratios.length - 1)]!),
        0.5,
      ),
    );
  }
  return { median: quantile(ratios, 0.5), low: quantile(medians, 0.025), high: quantile(medians, 0.975) };
}
