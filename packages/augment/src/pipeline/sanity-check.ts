import type { Plan } from "../plan/plan.js";
import { INTENSITIES, type Intensity } from "../plan/profile.js";
import type { DonorSource, PipelineResult, PipelineSample, SampleKey } from "./types.js";

/** How many renderings are judged. */
const RENDERINGS = 16;
const MIN_KEPT = 0.95;
const MIN_VISIBILITY = 0.3;
const MAX_LUMA_CHANGE = 60;

/**
 * What a pipeline did to the instances of a sample of a dataset: how many survive and which transforms removed the
 * others.
 */
export interface SanityReport {
  readonly ok: boolean;
  /** Share of instances that are kept. */
  readonly keptShare: number;
  /** Mean absolute change of the picture's mean luma, 0..255. */
  readonly meanLumaChange: number;
  readonly renderings: number;
  /** The next lower intensity where the check failed and there is one; the plan itself is never changed. */
  readonly recommendation: Intensity | null;
  readonly text: string;
}

function meanLuma({ data, channels }: PipelineSample["image"]): number {
  let sum = 0;
  for (let i = 0; i < data.length; i += channels) {
    sum += channels === 3 ? 0.299 * data[i]! + 0.587 * data[i + 1]! + 0.114 * data[i + 2]! : data[i]!;
  }
  return (sum * channels) / data.length;
}

/**
 * Renders 16 pictures (samples in turn): at least 95 % of the instances must be kept with a visibility of 0.3, and the mean luma must change by
 * less than 60 on average.
 */
export function sanityCheck(
  samples: readonly PipelineSample[],
  plan: Plan,
  apply: (sample: PipelineSample, key: SampleKey) => PipelineResult,
): SanityReport {
  const donors: DonorSource = {
    get: (stream, n) => Array.from({ length: n }, () => samples[stream.integer(0, samples.length - 1)]!),
  };
  let instances = 0;
  let kept = 0;
  let lumaChange = 0;
  const renderings = samples.length === 0 ? 0 : RENDERINGS;
  for (let k = 0; k < renderings; k++) {
    const sample = samples[k % samples.length]!;
    const result = apply(sample, { epoch: 0, index: k, donors });
    const count = sample.bboxes?.length ?? sample.masks?.length ?? 0;
    instances += count;
    kept += result.kept.filter((index, i) => index >= 0 && result.visibility[i]! >= MIN_VISIBILITY).length;
    lumaChange += Math.abs(meanLuma(result.image) - meanLuma(sample.image));
  }
  const keptShare = instances === 0 ? 1 : kept / instances;
  const meanLumaChange = renderings === 0 ? 0 : lumaChange / renderings;
  const ok = keptShare >= MIN_KEPT && meanLumaChange < MAX_LUMA_CHANGE;
  const lower = INTENSITIES[INTENSITIES.indexOf(plan.intensity) - 1] ?? null;
  const recommendation = ok ? null : lower;
  const found = `${(100 * keptShare).toFixed(1)} % of the instances kept, mean luma changes by ${meanLumaChange.toFixed(1)}`;
  return {
    ok,
    keptShare,
    meanLumaChange,
    renderings,
    recommendation,
    text: ok
      ? `${found}: fine.`
      : `${found}; expected at least ${100 * MIN_KEPT} % and less than ${MAX_LUMA_CHANGE}. ${recommendation === null ? "Take single transforms out with overrides." : `Try intensity ${recommendation}.`}`,
  };
}
