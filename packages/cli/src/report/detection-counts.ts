import type { Confusion } from "./report-data.js";

/** What became of annotated objects at one confidence and overlap. */
export interface DetectionCounts {
  readonly objects: number;
  /** Found, with their class. */
  readonly found: number;
  /** Found, as another class. */
  readonly mistaken: number;
  readonly missed: number;
  /** Reported where none is annotated. */
  readonly unannotated: number;
}

/** Counts over all classes, and by class in the order of the matrix; classes without objects are left out of the latter. */
export function detectionCounts({ names, counts }: Pick<Confusion, "names" | "counts">): {
  readonly all: DetectionCounts;
  readonly perClass: readonly (DetectionCounts & { readonly name: string })[];
} {
  const background = names.length - 1;
  const perClass = names.slice(0, background).map((name, k) => {
    const objects = counts.reduce((sum, line) => sum + line[k]!, 0);
    const [found, missed] = [counts[k]![k]!, counts[background]![k]!];
    return { name, objects, found, missed, mistaken: objects - found - missed, unannotated: counts[k]![background]! };
  });
  const sum = (field: keyof DetectionCounts) => perClass.reduce((total, entry) => total + entry[field], 0);
  return {
    all: {
      ...{ objects: sum("objects"), found: sum("found"), mistaken: sum("mistaken") },
      ...{ missed: sum("missed"), unannotated: sum("unannotated") },
    },
    perClass: perClass.filter(({ objects }) => objects > 0),
  };
}

/** Two-sided 95 % quantile of the normal distribution. */
const Z = 1.96;

/**
 * Wilson's 95 % interval of a share, k of n independent trials: (k + z^2/2 -+ z sqrt(k (n - k) / n + z^2/4)) / (n + z^2). Objects of one image are alike, so
 * that the true interval is a little wider.
 *
 * @returns [low, high], each 0 to 1; `n` must be at least 1
 * @example shareInterval(46, 54) // [0.734, 0.923]
 */
export function shareInterval(k: number, n: number): readonly [low: number, high: number] {
  const middle = k + Z ** 2 / 2;
  const reach = Z * Math.sqrt((k * (n - k)) / n + Z ** 2 / 4);
  return [Math.max(0, (middle - reach) / (n + Z ** 2)), Math.min(1, (middle + reach) / (n + Z ** 2))];
}
