/** A ring needs three corners. */
const MIN_LENGTH = 6;

/**
 * Douglas-Peucker on a closed ring: it is cut at its first vertex and the vertex farthest from it, and of each half only vertices farther
 * than `tolerance` from the chord stay. A ring that would lose its area comes back as it is.
 *
 * @param ring - flat `[x, y, ...]`, closed implicitly
 * @param tolerance - pixels, > 0
 */
export function simplifyRing(ring: readonly number[], tolerance: number): number[] {
  const count = ring.length / 2;
  let opposite = 0;
  let farthest = 0;
  for (let i = 1; i < count; i++) {
    const distance = (ring[2 * i]! - ring[0]!) ** 2 + (ring[2 * i + 1]! - ring[1]!) ** 2;
    if (distance > farthest) {
      farthest = distance;
      opposite = i;
    }
  }
  const keep = new Uint8Array(count);
  keep[0] = 1;
  keep[opposite] = 1;
  // An explicit stack: outlines of large masks are long. The second half ends at the first vertex again.
  const stack: [from: number, to: number][] = [
    [0, opposite],
    [opposite, count],
  ];
  for (let span = stack.pop(); span !== undefined; span = stack.pop()) {
    const [from, to] = span;
    let worst = -1;
    let largest = tolerance;
    for (let i = from + 1; i < to; i++) {
      const distance = distanceToChord(ring, i, from, to % count);
      if (distance > largest) {
        largest = distance;
        worst = i;
      }
    }
    if (worst < 0) continue;
    keep[worst] = 1;
    stack.push([from, worst], [worst, to]);
  }
  const result = ring.filter((_, i) => keep[i >> 1] === 1);
  return result.length < MIN_LENGTH ? [...ring] : result;
}

function distanceToChord(ring: readonly number[], point: number, a: number, b: number): number {
  const dx = ring[2 * b]! - ring[2 * a]!;
  const dy = ring[2 * b + 1]! - ring[2 * a + 1]!;
  const px = ring[2 * point]! - ring[2 * a]!;
  const py = ring[2 * point + 1]! - ring[2 * a + 1]!;
  const length = Math.hypot(dx, dy);
  return length === 0 ? Math.hypot(px, py) : Math.abs(dx * py - dy * px) / length;
}
