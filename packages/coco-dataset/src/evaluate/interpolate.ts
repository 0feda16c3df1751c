/**
 * Linear interpolation of (xs, ys) at x, xs ascending. Of equal abscissae the last counts; outside, the first and last value.
 *
 * @param left - value below xs[0]. @defaultValue ys[0]
 */
export function interpolate(x: number, xs: ArrayLike<number>, ys: ArrayLike<number>, left = ys[0]!): number {
  const last = xs.length - 1;
  if (x < xs[0]!) return left;
  if (x >= xs[last]!) return ys[last]!;
  // Largest j with xs[j] <= x.
  let low = 0;
  let high = last;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (xs[middle]! <= x) low = middle;
    else high = middle;
  }
  const slope = (ys[low + 1]! - ys[low]!) / (xs[low + 1]! - xs[low]!);
  return slope * (x - xs[low]!) + ys[low]!;
}
