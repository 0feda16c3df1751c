/**
 * How an image was placed in the network input; a structural part of the `Geometry` of `@seg/preprocess`.
 * net = orig * scale + pad, per axis, corner convention.
 */
export interface LetterboxGeometry {
  readonly origW: number;
  readonly origH: number;
  readonly contentW: number;
  readonly contentH: number;
  /** contentW / origW. */
  readonly scaleX: number;
  readonly scaleY: number;
  readonly padL: number;
  readonly padT: number;
  readonly netW: number;
  readonly netH: number;
}

/** Half to even, as Python's `round`. */
export function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}
