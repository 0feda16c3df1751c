import type { Affine } from "../affine.js";
import { AugmentError } from "../errors.js";

/**
 * A projective map of the plane, row-major 3 x 3: x' = (h0 x + h1 y + h2) / w, y' = (h3 x + h4 y + h5) / w, w = h6 x + h7 y + h8;
 * continuous pixel-edge coordinates.
 */
export type Homography = readonly [number, number, number, number, number, number, number, number, number];

/** Leaves every point where it is. */
export const IDENTITY3: Homography = [1, 0, 0, 0, 1, 0, 0, 0, 1];

/** The homography of a 2 x 3 map. */
export function fromAffine([a, b, c, d, e, f]: Affine): Homography {
  return [a, b, c, d, e, f, 0, 0, 1];
}

export function translation(x: number, y: number): Homography {
  return [1, 0, x, 0, 1, y, 0, 0, 1];
}

export function scaling(x: number, y: number): Homography {
  return [x, 0, 0, 0, y, 0, 0, 0, 1];
}

/** The map that does `first`, then `second` (the matrix product second * first), scaled so that h8 = 1 where it is not 0. */
export function compose(first: Homography, second: Homography): Homography {
  const out = new Array<number>(9);
  for (let r = 0; r < 3; r++) {
    for (let c = 0; c < 3; c++) {
      out[3 * r + c] =
        second[3 * r]! * first[c]! + second[3 * r + 1]! * first[c + 3]! + second[3 * r + 2]! * first[c + 6]!;
    }
  }
  const scale = out[8]!;
  if (scale !== 0 && scale !== 1) for (let i = 0; i < 9; i++) out[i]! /= scale;
  return out as unknown as Homography;
}

/**
 * The inverse by cofactors.
 * @throws AugmentError `invalid_affine` when not finite or singular
 */
export function invert(m: Homography): Homography {
  const [a, b, c, d, e, f, g, h, i] = m;
  const A = e * i - f * h;
  const B = f * g - d * i;
  const C = d * h - e * g;
  const determinant = a * A + b * B + c * C;
  if (!Number.isFinite(determinant) || determinant === 0) {
    throw new AugmentError({
      code: "invalid_affine",
      message: `The map [${m.join(", ")}] is not invertible: determinant ${determinant}.`,
    });
  }
  const out = [A, c * h - b * i, b * f - c * e, B, a * i - c * g, c * d - a * f, C, b * g - a * h, a * e - b * d].map(
    (value) => value / determinant,
  );
  const scale = out[8]!;
  if (scale !== 0 && scale !== 1) for (let j = 0; j < 9; j++) out[j]! /= scale;
  return out as unknown as Homography;
}

/** `[x', y']` */
export function project(m: Homography, x: number, y: number): [number, number] {
  const w = m[6] * x + m[7] * y + m[8];
  return [(m[0] * x + m[1] * y + m[2]) / w, (m[3] * x + m[4] * y + m[5]) / w];
}

/** True when w is constant: parallel lines stay parallel. */
export function isAffine(m: Homography): boolean {
  return m[6] === 0 && m[7] === 0;
}

export function isIdentity(m: Homography): boolean {
  return m.every((value, i) => value === IDENTITY3[i]);
}

/** d(x', y') / d(x, y) at a point: `[dx'/dx, dx'/dy, dy'/dx, dy'/dy]`. */
export function jacobian(m: Homography, x: number, y: number): [number, number, number, number] {
  const w = m[6] * x + m[7] * y + m[8];
  const [px, py] = project(m, x, y);
  return [(m[0] - m[6] * px) / w, (m[1] - m[7] * px) / w, (m[3] - m[6] * py) / w, (m[4] - m[7] * py) / w];
}

/** |det| of the Jacobian: how many output pixels one source pixel covers at a point. */
export function areaScale(m: Homography, x: number, y: number): number {
  const [a, b, c, d] = jacobian(m, x, y);
  return Math.abs(a * d - b * c);
}

/**
 * The map that sends four points to four points (direct linear transform, h8 = 1).
 *
 * @param from - x0, y0, ..., x3, y3
 * @returns null when the points do not determine one (three on a line)
 */
export function fromQuads(from: readonly number[], to: readonly number[]): Homography | null {
  // Eight equations in h0..h7, Gaussian elimination with partial pivoting.
  const rows: number[][] = [];
  for (let k = 0; k < 4; k++) {
    const x = from[2 * k]!;
    const y = from[2 * k + 1]!;
    const u = to[2 * k]!;
    const v = to[2 * k + 1]!;
    rows.push([x, y, 1, 0, 0, 0, -u * x, -u * y, u], [0, 0, 0, x, y, 1, -v * x, -v * y, v]);
  }
  for (let column = 0; column < 8; column++) {
    let pivot = column;
    for (let r = column + 1; r < 8; r++) {
      if (Math.abs(rows[r]![column]!) > Math.abs(rows[pivot]![column]!)) pivot = r;
    }
    if (!(Math.abs(rows[pivot]![column]!) > 1e-12)) return null;
    [rows[column], rows[pivot]] = [rows[pivot]!, rows[column]!];
    const top = rows[column]!;
    for (let r = 0; r < 8; r++) {
      if (r === column) continue;
      const factor = rows[r]![column]! / top[column]!;
      if (factor === 0) continue;
      for (let c = column; c < 9; c++) rows[r]![c]! -= factor * top[c]!;
    }
  }
  const h = rows.map((row, i) => row[8]! / row[i]!);
  return [...h, 1] as unknown as Homography;
}
