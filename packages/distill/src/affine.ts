/** Row-major 2x3 map `[a, b, c, d, e, f]`: x' = a x + b y + c, y' = d x + e y + f; continuous pixel coordinates, pixel i covers [i, i + 1). */
export type Affine = readonly [a: number, b: number, c: number, d: number, e: number, f: number];

/** The map that scales both axes. */
export function scaleAffine(x: number, y: number): Affine {
  return [x, 0, 0, 0, y, 0];
}

/** `second` after `first`. */
export function composeAffine(second: Affine, first: Affine): Affine {
  const [a, b, c, d, e, f] = second;
  const [g, h, i, j, k, l] = first;
  return [a * g + b * j, a * h + b * k, a * i + b * l + c, d * g + e * j, d * h + e * k, d * i + e * l + f];
}

/**
 * The inverse map.
 * @throws RangeError if the map is not invertible
 */
export function invertAffine([a, b, c, d, e, f]: Affine): Affine {
  const determinant = a * e - b * d;
  if (!(Math.abs(determinant) > 1e-12))
    throw new RangeError(`Affine map [${[a, b, c, d, e, f].join(", ")}] is not invertible.`);
  const inverse = 1 / determinant;
  return [e * inverse, -b * inverse, (b * f - e * c) * inverse, -d * inverse, a * inverse, (d * c - a * f) * inverse];
}
