/** Digits of the radix sort. */
const BITS = 16;
const BUCKETS = 2 ** BITS;
/** Below it a comparison sort is faster than counting 65,536 buckets. */
const SHORT = 4096;

/**
 * `order` sorted stably by falling score.
 *
 * @param order - indices into `scores`, left alone
 * @param scores - finite
 */
export function byFallingScore(order: Int32Array, scores: Float64Array): Int32Array {
  if (order.length < SHORT) {
    const position = new Map<number, number>();
    for (let i = 0; i < order.length; i++) position.set(order[i]!, i);
    return order.toSorted((a, b) => scores[b]! - scores[a]! || position.get(a)! - position.get(b)!);
  }
  // The bits of a double, sign bit flipped (all bits where negative), order as the numbers do; inverted they order downwards.
  const words = new Uint32Array(2 * scores.length);
  const values = new Float64Array(words.buffer);
  for (let i = 0; i < scores.length; i++) {
    // -0 equals 0.
    values[i] = scores[i]! + 0;
    const isNegative = words[2 * i + 1]! >>> 31 === 1;
    if (!isNegative) {
      words[2 * i] = ~words[2 * i]!;
      words[2 * i + 1] = ~words[2 * i + 1]! & 0x7fffffff;
    }
  }
  let current: Int32Array = order;
  let other: Int32Array = new Int32Array(order.length);
  const starts = new Int32Array(BUCKETS + 1);
  for (let digit = 0; digit < 4; digit++) {
    const word = digit >> 1;
    const shift = (digit & 1) * BITS;
    const keyOf = (index: number) => (words[2 * index + word]! >>> shift) & (BUCKETS - 1);
    starts.fill(0);
    for (const index of current) starts[keyOf(index) + 1]!++;
    if (starts[keyOf(current[0]!) + 1] === current.length) continue;
    for (let b = 0; b < BUCKETS; b++) starts[b + 1]! += starts[b]!;
    const sorted = current === order ? new Int32Array(order.length) : other;
    for (const index of current) sorted[starts[keyOf(index)]!++] = index;
    other = current === order ? other : current;
    current = sorted;
  }
  return current;
}

/** `order` sorted stably by a small rank; entries of rank -1 are left out. */
export function byRank(order: Int32Array, ranks: Int32Array, numRanks: number): Int32Array {
  const starts = new Int32Array(numRanks + 1);
  let count = 0;
  for (const index of order) {
    const rank = ranks[index]!;
    if (rank < 0) continue;
    starts[rank + 1]!++;
    count++;
  }
  for (let r = 0; r < numRanks; r++) starts[r + 1]! += starts[r]!;
  const sorted = new Int32Array(count);
  for (const index of order) {
    const rank = ranks[index]!;
    if (rank >= 0) sorted[starts[rank]!++] = index;
  }
  return sorted;
}

/** 0, 1, ..., count - 1. */
export function identityOrder(count: number): Int32Array {
  const order = new Int32Array(count);
  for (let i = 0; i < count; i++) order[i] = i;
  return order;
}
