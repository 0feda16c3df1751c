import { minimumCostAssignment } from "./minimum-cost-assignment.js";

/**
 * Query of every object, matched per image so that the summed cost is smallest. A cost that is not finite counts as the largest finite one.
 *
 * @param costs - [B, T, Q]
 * @param counts - real objects per image, the first rows of each
 * @returns [B, T], -1 for unused rows, and for objects beyond the number of queries
 */
export function matchQueries(
  costs: Float32Array,
  { rows, queries, counts }: { rows: number; queries: number; counts: readonly number[] },
): Int32Array {
  const result = new Int32Array(counts.length * rows).fill(-1);
  for (let b = 0; b < counts.length; b++) {
    const offset = b * rows * queries;
    const block = Float64Array.from(costs.subarray(offset, offset + counts[b]! * queries));
    let largest = Number.NEGATIVE_INFINITY;
    for (const value of block) if (Number.isFinite(value)) largest = Math.max(largest, value);
    if (largest === Number.NEGATIVE_INFINITY) largest = 0;
    for (let i = 0; i < block.length; i++) if (!Number.isFinite(block[i]!)) block[i] = largest;
    result.set(minimumCostAssignment(block, counts[b]!, queries), b * rows);
  }
  return result;
}

/** Matches as a matrix [B, T, Q] of zeros and ones: its product with predictions picks those of the matched queries. */
export function matchMatrix(matches: Int32Array, queries: number): Float32Array {
  const result = new Float32Array(matches.length * queries);
  for (let i = 0; i < matches.length; i++) if (matches[i]! >= 0) result[i * queries + matches[i]!] = 1;
  return result;
}
