import { ExportError } from "../errors.js";
import { roundHalfEven } from "../runtime/geometry.js";

/** Range of the integers of a quantised tensor. */
export interface IntegerRange {
  low: number;
  high: number;
}

/** Integer ranges by type; symmetric int8 leaves -128 out. */
export const INTEGER_RANGES = {
  uint8: { low: 0, high: 255 },
  int8: { low: -128, high: 127 },
  "int8-symmetric": { low: -127, high: 127 },
  "int8-reduced": { low: -64, high: 64 },
} as const satisfies Record<string, IntegerRange>;

/** real = (quantised - zeroPoint) * scale. */
export interface QuantParameters {
  /** float32 value, > 0. */
  scale: number;
  zeroPoint: number;
}

/** Smallest normal float32: below it a scale would be denormal or zero. */
const SMALLEST_SCALE = 1.17549435e-38;

/**
 * Scale and zero point of an affine quantisation whose range always holds 0.
 * scale = (rmax - rmin) / (high - low) in float64, cast to float32 last; zeroPoint = round(low - rmin / scale), half to even.
 *
 * @param symmetric - widen to ±max(|rmin|, |rmax|), zero point in the middle of the integers
 * @throws ExportError `QUANT_CONFIG` naming `tensor` for a NaN or infinite range
 * @example quantParameters({ rmin: -1, rmax: 3, range: INTEGER_RANGES.uint8 }) // { scale: 0.015686275, zeroPoint: 64 }
 */
export function quantParameters({
  rmin,
  rmax,
  range,
  symmetric = false,
  tensor,
}: {
  rmin: number;
  rmax: number;
  range: IntegerRange;
  symmetric?: boolean;
  tensor?: string;
}): QuantParameters {
  if (!Number.isFinite(rmin) || !Number.isFinite(rmax)) {
    throw new ExportError({
      code: "QUANT_CONFIG",
      message: `Range of ${tensor ?? "a tensor"} is [${rmin}, ${rmax}]: only finite values can be quantised. Look for NaN or Inf upstream.`,
      details: tensor === undefined ? {} : { tensor },
    });
  }
  let low = Math.min(rmin, 0);
  let high = Math.max(rmax, 0);
  if (symmetric) {
    high = Math.max(-low, high);
    low = -high;
  }
  const scale = (high - low) / (range.high - range.low);
  if (scale < SMALLEST_SCALE) return { scale: 1, zeroPoint: symmetric ? middle(range) : 0 };
  const zeroPoint = symmetric ? middle(range) : roundHalfEven(range.low - low / scale);
  return { scale: Math.fround(scale), zeroPoint };
}

const middle = ({ low, high }: IntegerRange): number => roundHalfEven((low + high) / 2);

/**
 * clip(roundHalfEven(x / scale) + zeroPoint) over the full range of the type.
 * @example quantizeValue({ value: 2.5, scale: 1, zeroPoint: 0, range: INTEGER_RANGES.int8 }) // 2
 */
export function quantizeValue({
  value,
  scale,
  zeroPoint,
  range,
}: {
  value: number;
  scale: number;
  zeroPoint: number;
  range: IntegerRange;
}): number {
  return Math.min(Math.max(roundHalfEven(value / scale) + zeroPoint, range.low), range.high);
}
