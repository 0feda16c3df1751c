/**
 * Whether two edges of a closed ring properly cross. Touching vertices and edges that lie on one another do not count: bridges to holes
 * are walked in both directions.
 *
 * @param part - flat `[x, y, ...]`
 */
export function hasSelfIntersection(part: readonly number[]): boolean {
  const count = part.length / 2;
  if (count < 4) return false;
  const order = Array.from({ length: count }, (_, i) => i);
  const x = (i: number) => part[2 * (i % count)]!;
  const y = (i: number) => part[2 * (i % count) + 1]!;
  const left = Float64Array.from(order, (i) => Math.min(x(i), x(i + 1)));
  const right = Float64Array.from(order, (i) => Math.max(x(i), x(i + 1)));
  const top = Float64Array.from(order, (i) => Math.min(y(i), y(i + 1)));
  const bottom = Float64Array.from(order, (i) => Math.max(y(i), y(i + 1)));
  order.sort((a, b) => left[a]! - left[b]!);
  for (let n = 0; n < count; n++) {
    const i = order[n]!;
    for (let m = n + 1; m < count; m++) {
      const j = order[m]!;
      // Sorted by left ends: nothing further overlaps in x.
      if (left[j]! >= right[i]!) break;
      if (top[j]! >= bottom[i]! || bottom[j]! <= top[i]!) continue;
      if (
        side(x(i), y(i), x(i + 1), y(i + 1), x(j), y(j)) * side(x(i), y(i), x(i + 1), y(i + 1), x(j + 1), y(j + 1)) <
          0 &&
        side(x(j), y(j), x(j + 1), y(j + 1), x(i), y(i)) * side(x(j), y(j), x(j + 1), y(j + 1), x(i + 1), y(i + 1)) < 0
      ) {
        return true;
      }
    }
  }
  return false;
}

/** Sign tells the side of (px, py) of the line through a and b. */
function side(ax: number, ay: number, bx: number, by: number, px: number, py: number): number {
  return Math.sign((bx - ax) * (py - ay) - (by - ay) * (px - ax));
}
