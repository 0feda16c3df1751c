import { AugmentError } from "./errors.js";

/** `[a, b, c, d, e, f]`: x' = a x + b y + c, y' = d x + e y + f, in continuous pixel coordinates. */
export type Affine = readonly [a: number, b: number, c: number, d: number, e: number, f: number];

/** Leaves every point where it is. */
export const IDENTITY: Affine = [1, 0, 0, 0, 1, 0];

/**
 * The map that does `first`, then `second`.
 *
 * @example composeAffine([2, 0, 0, 0, 2, 0], [1, 0, 5, 0, 1, 0]) // [2, 0, 5, 0, 2, 0]
 */
export function composeAffine(first: Affine, second: Affine): Affine {
  const [a, b, c, d, e, f] = first;
  const [A, B, C, D, E, F] = second;
  return [A * a + B * d, A * b + B * e, A * c + B * f + C, D * a + E * d, D * b + E * e, D * c + E * f + F];
}

/** Inverse map: applied after `affine` it leaves points where they were. @throws AugmentError `invalid_affine` when not finite or not invertible */
export function invertAffine(affine: Affine): Affine {
  const [a, b, c, d, e, f] = affine;
  const determinant = a * e - b * d;
  if (!affine.every(Number.isFinite) || determinant === 0) {
    throw new AugmentError({
      code: "invalid_affine",
      message: `The affine map [${affine.join(", ")}] is not invertible: determinant ${determinant}.`,
    });
  }
  const A = e / determinant;
  const B = -b / determinant;
  const D = -d / determinant;
  const E = a / determinant;
  return [A, B, -(A * c + B * f), D, E, -(D * c + E * f)];
}

/** `[x', y']` */
export function applyAffine([a, b, c, d, e, f]: Affine, x: number, y: number): [number, number] {
  return [a * x + b * y + c, d * x + e * y + f];
}
