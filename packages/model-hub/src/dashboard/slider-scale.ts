/** How a slider's steps map to values that span orders of magnitude. */
export interface SliderScale {
  readonly min: number;
  readonly max: number;
  /** Steps of the slider, from 0. */
  readonly steps: number;
  /** The value at a step. */
  valueAt(step: number): number;
  /** The step nearest to a value. */
  stepOf(value: number): number;
}

/** Whole numbers on a logarithmic scale, at most two significant digits: 1, 2, ... 9, 10, 11, ... 98, 100, 110. */
export function countScale({ min, max, steps = 100 }: { min: number; max: number; steps?: number }): SliderScale {
  const round = (value: number): number => {
    const whole = value < 100 ? Math.round(value) : Number(value.toPrecision(2));
    return Math.min(max, Math.max(min, whole));
  };
  return logScale({ min, max, steps, round });
}

/** 1, 2, 4, ... */
export function powerScale({ min, max }: { min: number; max: number }): SliderScale {
  const steps = Math.round(Math.log2(max / min));
  return logScale({ min, max, steps, round: Math.round });
}

/** Rates, 20 steps a decade, two significant digits. */
export function rateScale({ min, max }: { min: number; max: number }): SliderScale {
  const steps = Math.round(20 * Math.log10(max / min));
  return logScale({ min, max, steps, round: (value) => Number(value.toPrecision(2)) });
}

function logScale({
  min,
  max,
  steps,
  round,
}: {
  min: number;
  max: number;
  steps: number;
  round: (value: number) => number;
}): SliderScale {
  const span = Math.log(max / min);
  return {
    min,
    max,
    steps,
    valueAt: (step) => round(min * Math.exp((span * step) / steps)),
    stepOf: (value) => Math.round((steps * Math.log(Math.min(max, Math.max(min, value)) / min)) / span),
  };
}
