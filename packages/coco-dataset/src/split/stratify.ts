import type { SplitRandom } from "./random.js";

/** Images that stay together, with the number of images carrying each label. */
export interface Unit {
  readonly imageIds: readonly number[];
  /** Label index -> images of the unit that carry it. */
  readonly labels: ReadonlyMap<number, number>;
  /** Class index -> non-crowd annotations. */
  readonly instances: ReadonlyMap<number, number>;
}

/**
 * Iterative stratification (Sechidis et al., "On the Stratification of Multi-label Data", 2011): the rarest remaining label first, each
 * of its units in random order to the open split that still needs most of that label.
 *
 * @returns split index of each unit
 */
export function assignUnits(input: {
  units: readonly Unit[];
  numLabels: number;
  ratios: readonly number[];
  targets: readonly number[];
  random: SplitRandom;
  /** Split of units that are placed already, -1 for the others. @defaultValue all -1 */
  fixed?: Int32Array;
}): Int32Array {
  const { units, numLabels, ratios, targets, random, fixed } = input;
  const need = targets.map(Number);
  const remaining = new Float64Array(numLabels);
  const unitsOf: number[][] = Array.from({ length: numLabels }, () => []);
  units.forEach((unit, u) => {
    for (const [label, images] of unit.labels) {
      remaining[label]! += images;
      unitsOf[label]!.push(u);
    }
  });
  const labelNeed = ratios.map((ratio) => Float64Array.from(remaining, (images) => ratio * images));
  const assignment = new Int32Array(units.length).fill(-1);

  const assign = (u: number, j: number) => {
    const unit = units[u]!;
    assignment[u] = j;
    need[j]! -= unit.imageIds.length;
    for (const [label, images] of unit.labels) {
      remaining[label]! -= images;
      labelNeed[j]![label]! -= images;
    }
  };
  fixed?.forEach((j, u) => {
    if (j >= 0) assign(u, j);
  });
  const choose = (label: number | null): number => {
    let best: number[] = [];
    // Fixed units can fill every split; then the one that is over by least takes the rest.
    const isOpen = need.some((images) => images > 0);
    need.forEach((images, j) => {
      if (isOpen && images <= 0) return;
      const winner = best[0];
      if (winner === undefined) {
        best = [j];
        return;
      }
      const byLabel = label === null ? 0 : labelNeed[j]![label]! - labelNeed[winner]![label]!;
      const order = byLabel === 0 ? images - need[winner]! : byLabel;
      if (order > 0) best = [j];
      else if (order === 0) best.push(j);
    });
    return best.length === 1 ? best[0]! : best[random.below(best.length)]!;
  };
  for (;;) {
    let rarest = -1;
    for (let label = 0; label < numLabels; label++) {
      if (remaining[label]! > 0 && (rarest < 0 || remaining[label]! < remaining[rarest]!)) rarest = label;
    }
    if (rarest < 0) break;
    for (const u of random.shuffle(unitsOf[rarest]!.filter((candidate) => assignment[candidate]! < 0)))
      assign(u, choose(rarest));
  }
  const unlabelled = units.flatMap((_, u) => (assignment[u]! < 0 ? [u] : []));
  for (const u of random.shuffle(unlabelled)) assign(u, choose(null));
  return assignment;
}

/**
 * Gives every class at least `minimum` images in every split where it has enough, by swapping units of equal size; where it has not, the
 * splits come first in declared order. Sizes stay as they are.
 *
 * @param classLabels - labels that are classes
 * @returns labels that still have fewer than `minimum` images in some split
 */
export function repairMinimum(input: {
  units: readonly Unit[];
  assignment: Int32Array;
  classLabels: readonly number[];
  numSplits: number;
  minimum: number;
}): number[] {
  const { units, assignment, classLabels, numSplits, minimum } = input;
  const counts = Array.from({ length: numSplits }, () => new Map<number, number>());
  const get = (j: number, label: number) => counts[j]!.get(label) ?? 0;
  const change = (u: number, j: number, sign: 1 | -1) => {
    for (const [label, images] of units[u]!.labels) counts[j]!.set(label, get(j, label) + sign * images);
  };
  units.forEach((_, u) => {
    change(u, assignment[u]!, 1);
  });
  const totals = new Map(
    classLabels.map((label) => [label, counts.reduce((sum, map) => sum + (map.get(label) ?? 0), 0)]),
  );
  const wanted = new Map(
    classLabels.map((label) => {
      let left = totals.get(label)!;
      return [
        label,
        Array.from({ length: numSplits }, () => {
          const share = Math.min(minimum, left);
          left -= share;
          return share;
        }),
      ];
    }),
  );
  /** Images by which a split would fall short of what it should have, over the labels of one unit. */
  const isLossAllowed = (leaving: Unit, entering: Unit, j: number) => {
    for (const [label, images] of leaving.labels) {
      const minimumHere = wanted.get(label)?.[j] ?? 0;
      const after = get(j, label) - images + (entering.labels.get(label) ?? 0);
      if (after < Math.min(minimumHere, get(j, label))) return false;
    }
    return true;
  };
  const rarestFirst = classLabels.toSorted((a, b) => totals.get(a)! - totals.get(b)! || a - b);
  for (const label of rarestFirst) {
    for (let j = 0; j < numSplits; j++) {
      while (get(j, label) < wanted.get(label)![j]! && swapIn(label, j));
    }
  }

  function swapIn(label: number, j: number): boolean {
    const donors = Array.from({ length: numSplits }, (_, i) => i)
      .filter((i) => i !== j && get(i, label) > wanted.get(label)![i]!)
      .sort((a, b) => get(b, label) - get(a, label) || a - b);
    // The unit given back should carry little, so that other classes hardly move.
    const returns = units
      .flatMap((unit, u) => (assignment[u] === j && !unit.labels.has(label) ? [u] : []))
      .sort((a, b) => units[a]!.labels.size - units[b]!.labels.size || a - b);
    for (const i of donors) {
      for (let u = 0; u < units.length; u++) {
        const unit = units[u]!;
        if (assignment[u] !== i || !unit.labels.has(label)) continue;
        const v = returns.find(
          (candidate) =>
            units[candidate]!.imageIds.length === unit.imageIds.length &&
            isLossAllowed(unit, units[candidate]!, i) &&
            isLossAllowed(units[candidate]!, unit, j),
        );
        if (v === undefined) continue;
        change(u, i, -1);
        change(v, j, -1);
        change(u, j, 1);
        change(v, i, 1);
        assignment[u] = j;
        assignment[v] = i;
        return true;
      }
    }
    return false;
  }
  return classLabels.filter((label) => counts.some((map) => (map.get(label) ?? 0) < minimum));
}
