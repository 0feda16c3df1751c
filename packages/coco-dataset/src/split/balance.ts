import type { SplitRandom } from "./random.js";
import type { Unit } from "./stratify.js";

/** Exchanges tried per unit; beyond it the error hardly falls (measured: 5,000 images, 80 classes). */
const TRIES_PER_UNIT = 8;

/**
 * Evens out what stratification by images leaves: how many *instances* of each class a split received. Two units of equal size change
 * places when that lowers the sum over splits and labels of |share - ratio|, for images and for instances alike; sizes, groups and the
 * minimum of every class stay as they are.
 *
 * @param assignment - split of each unit, changed in place
 * @param minimum - images of every class that an exchange must not go below, where a split has them
 */
export function balanceInstances(input: {
  units: readonly Unit[];
  assignment: Int32Array;
  ratios: readonly number[];
  numLabels: number;
  minimum: number;
  random: SplitRandom;
}): void {
  const { units, assignment, ratios, numLabels, minimum, random } = input;
  const images = tally(units, assignment, ratios, numLabels, (unit) => unit.labels);
  const instances = tally(units, assignment, ratios, numLabels, (unit) => unit.instances);
  const bySize = new Map<number, number[]>();
  units.forEach((unit, u) => {
    const list = bySize.get(unit.imageIds.length);
    if (list === undefined) bySize.set(unit.imageIds.length, [u]);
    else list.push(u);
  });
  for (const list of bySize.values()) {
    if (list.length < 2) continue;
    for (let attempt = TRIES_PER_UNIT * list.length; attempt > 0; attempt--) {
      const u = list[random.below(list.length)]!;
      const v = list[random.below(list.length)]!;
      const i = assignment[u]!;
      const j = assignment[v]!;
      if (i === j) continue;
      const before = images.cost(i, j, u, v) + instances.cost(i, j, u, v);
      images.swap(i, j, u, v);
      instances.swap(i, j, u, v);
      const after = images.cost(i, j, u, v) + instances.cost(i, j, u, v);
      if (after < before - 1e-12 && images.keeps(minimum, i, u) && images.keeps(minimum, j, v)) {
        assignment[u] = j;
        assignment[v] = i;
      } else {
        images.swap(j, i, u, v);
        instances.swap(j, i, u, v);
      }
    }
  }
}

/** Counts per split and label with the cost of their distance from the ratios. */
function tally(
  units: readonly Unit[],
  assignment: Int32Array,
  ratios: readonly number[],
  numLabels: number,
  countsOf: (unit: Unit) => ReadonlyMap<number, number>,
) {
  const labels = units.map((unit) => Int32Array.from(countsOf(unit).keys()));
  const amounts = units.map((unit) => Float64Array.from(countsOf(unit).values()));
  const counts = ratios.map(() => new Float64Array(numLabels));
  const totals = new Float64Array(numLabels);
  const add = (split: number, u: number, sign: 1 | -1) => {
    const [own, amount] = [labels[u]!, amounts[u]!];
    for (let n = 0; n < own.length; n++) counts[split]![own[n]!]! += sign * amount[n]!;
  };
  units.forEach((_, u) => {
    add(assignment[u]!, u, 1);
    labels[u]!.forEach((label, n) => {
      totals[label]! += amounts[u]![n]!;
    });
  });
  /** Marks the labels that a sum has counted. */
  const counted = new Int32Array(numLabels);
  let mark = 0;
  return {
    /** Over the labels that either unit carries, each once. */
    cost(i: number, j: number, u: number, v: number): number {
      mark++;
      let sum = 0;
      for (const own of [labels[u]!, labels[v]!]) {
        for (let n = 0; n < own.length; n++) {
          const label = own[n]!;
          if (counted[label] === mark) continue;
          counted[label] = mark;
          sum +=
            Math.abs(counts[i]![label]! / totals[label]! - ratios[i]!) +
            Math.abs(counts[j]![label]! / totals[label]! - ratios[j]!);
        }
      }
      return sum;
    },
    /** Unit u goes from i to j, v from j to i. */
    swap(i: number, j: number, u: number, v: number): void {
      add(i, u, -1);
      add(j, u, 1);
      add(j, v, -1);
      add(i, v, 1);
    },
    /** Whether split i, which unit u left, still has the minimum of its labels. */
    keeps(minimum: number, i: number, u: number): boolean {
      return labels[u]!.every((label) => counts[i]![label]! >= minimum);
    },
  };
}
