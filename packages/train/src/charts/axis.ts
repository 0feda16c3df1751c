import { formatNumber } from "./format.js";

/** Maps data to pixels; `ticks` lie inside the domain. */
export interface Axis {
  readonly min: number;
  readonly max: number;
  readonly ticks: readonly { readonly value: number; readonly label: string }[];
  position(value: number): number;
}

/** 1, 2 or 5 times a power of ten, at least `rough`. */
function niceStep(rough: number): number {
  const power = 10 ** Math.floor(Math.log10(rough));
  const fraction = rough / power;
  // The slack absorbs rounding such as 0.2 / 0.1.
  return (fraction <= 1 + 1e-9 ? 1 : fraction <= 2 + 1e-9 ? 2 : fraction <= 5 + 1e-9 ? 5 : 10) * power;
}

/**
 * Linear axis whose ends are ticks.
 *
 * @param input.range - pixels of the two ends
 * @param input.count - wanted number of intervals. @defaultValue 5
 * @param input.isInteger - only whole ticks. @defaultValue false
 * @param input.isTight - end at the data instead of at a tick. @defaultValue false
 */
export function linearAxis({
  min,
  max,
  range,
  count = 5,
  isInteger = false,
  isTight = false,
}: {
  min: number;
  max: number;
  range: readonly [number, number];
  count?: number;
  isInteger?: boolean;
  isTight?: boolean;
}): Axis {
  const low = min;
  const high = max > min ? max : min + (min === 0 ? 1 : Math.abs(min));
  let step = niceStep((high - low) / count);
  if (isInteger) step = Math.max(1, Math.round(step));
  const start = isTight ? low : Math.floor(low / step + 1e-9) * step;
  const end = isTight ? high : Math.ceil(high / step - 1e-9) * step;
  const ticks: { value: number; label: string }[] = [];
  const decimals = Math.max(0, Math.min(12, -Math.floor(Math.log10(step) + 1e-9)));
  for (let i = Math.ceil(start / step - 1e-9); i * step <= end + step * 1e-9; i++) {
    ticks.push({ value: i * step, label: (i * step).toFixed(decimals).replace("-", "\u2212") });
  }
  const [from, to] = range;
  return { min: start, max: end, ticks, position: (value) => from + ((value - start) / (end - start)) * (to - from) };
}

/** Logarithmic axis (base 10) with ticks at 1, 2 and 5 times the powers of ten; `min` and `max` are positive. */
export function logAxis({ min, max, range }: { min: number; max: number; range: readonly [number, number] }): Axis {
  const candidates: number[] = [];
  for (let power = Math.floor(Math.log10(min)) - 1; power <= Math.ceil(Math.log10(max)) + 1; power++) {
    for (const factor of [1, 2, 5]) candidates.push(factor * 10 ** power);
  }
  const start = candidates.filter((value) => value <= min * (1 + 1e-9)).at(-1)!;
  const end = candidates.find((value) => value >= max * (1 - 1e-9) && value > start)!;
  const inside = candidates.filter((value) => value >= start && value <= end);
  // Beyond two decades 1-2-5 ticks would collide.
  const shown = inside.length > 7 ? inside.filter((value) => Math.abs(Math.log10(value) % 1) < 1e-9) : inside;
  const [from, to] = range;
  const span = Math.log10(end / start);
  return {
    min: start,
    max: end,
    ticks: shown.map((value) => ({ value, label: value >= 1 ? String(Math.round(value)) : formatNumber(value) })),
    position: (value) => from + (Math.log10(value / start) / span) * (to - from),
  };
}
