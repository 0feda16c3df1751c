/**
 * One ring of several: each next ring is reached and left by a bridge between near corners. The bridge is walked in both directions, so
 * it cancels in an even-odd fill; rings that do not overlap therefore fill as before.
 *
 * @param rings - flat `[x, y, ...]`, each closed implicitly, at least one
 * @returns flat `[x, y, ...]`
 */
export function joinRings(rings: readonly ArrayLike<number>[]): number[] {
  let joined = Array.from(rings[0] ?? []);
  for (const ring of rings.slice(1)) {
    const entry = nearest(ring, joined[0]!, joined[1]!);
    const exit = nearest(joined, ring[entry]!, ring[entry + 1]!);
    const next = joined.slice(0, exit + 2);
    for (let i = 0; i <= ring.length; i += 2) {
      const at = (entry + i) % ring.length;
      next.push(ring[at]!, ring[at + 1]!);
    }
    // Back to the corner where the bridge began.
    for (let i = exit; i < joined.length; i++) next.push(joined[i]!);
    joined = next;
  }
  return joined;
}

/** Offset of the corner nearest to a point. */
function nearest(ring: ArrayLike<number>, x: number, y: number): number {
  let best = Infinity;
  let offset = 0;
  for (let i = 0; i < ring.length; i += 2) {
    const distance = (ring[i]! - x) ** 2 + (ring[i + 1]! - y) ** 2;
    if (distance < best) {
      best = distance;
      offset = i;
    }
  }
  return offset;
}
