/** Up to here comparing all pairs beats sorting the edges. */
const SHORT = 64;

/**
 * Whether two edges of a closed ring properly cross. Touching vertices and edges that lie on one another do not count: bridges to holes
 * are walked in both directions.
 *
 * @param part - flat `[x, y, ...]`
 */
export function hasSelfIntersection(part: readonly number[]): boolean {
  const count = part.length / 2;
  if (count < 4) return false;
  // Per edge: left, right, top, bottom.
  const bounds = new Float64Array(4 * count);
  for (let i = 0, j = 2; i < count; i++, j = (j + 2) % part.length) {
    const [ax, ay, bx, by] = [part[2 * i]!, part[2 * i + 1]!, part[j]!, part[j + 1]!];
    bounds[4 * i] = ax < bx ? ax : bx;
    bounds[4 * i + 1] = ax < bx ? bx : ax;
    bounds[4 * i + 2] = ay < by ? ay : by;
    bounds[4 * i + 3] = ay < by ? by : ay;
  }
  const order = Int32Array.from({ length: count }, (_, i) => i);
  const isSorted = count > SHORT;
  if (isSorted) order.sort((a, b) => bounds[4 * a]! - bounds[4 * b]!);
  for (let n = 0; n < count; n++) {
    const i = order[n]!;
    for (let m = n + 1; m < count; m++) {
      const j = order[m]!;
      if (bounds[4 * j]! >= bounds[4 * i + 1]!) {
        // Sorted by left ends: nothing further overlaps in x.
        if (isSorted) break;
        continue;
      }
      if (bounds[4 * j + 1]! <= bounds[4 * i]!) continue;
      if (bounds[4 * j + 2]! >= bounds[4 * i + 3]! || bounds[4 * j + 3]! <= bounds[4 * i + 2]!) continue;
      if (cross(part, 2 * i, 2 * j)) return true;
    }
  }
  return false;
}

/** Whether the edges that begin at positions i and j lie on both sides of each other. */
function cross(part: readonly number[], i: number, j: number): boolean {
  const [k, l] = [(i + 2) % part.length, (j + 2) % part.length];
  return side(part, i, k, j) * side(part, i, k, l) < 0 && side(part, j, l, i) * side(part, j, l, k) < 0;
}

/** Sign tells the side of point p of the line from a to b. */
function side(part: readonly number[], a: number, b: number, p: number): number {
  const [ax, ay] = [part[a]!, part[a + 1]!];
  return Math.sign((part[b]! - ax) * (part[p + 1]! - ay) - (part[b + 1]! - ay) * (part[p]! - ax));
}
