import type { DatasetFingerprint } from "./fingerprint.js";

/** How hard a dataset is, and from what that follows; all in [0, 1]. */
export interface Complexity {
  readonly value: number;
  readonly level: "simple" | "moderate" | "complex";
  readonly terms: Readonly<Record<string, number>>;
}

/**
 * Mean of what is known: min(1, log2(classes) / 6), min(1, median objects / 20), share of small objects, share of overlapping
 * ones, Gini coefficient of the classes, distance of the domain from everyday photographs. Below 1/3 simple, below 2/3 moderate.
 *
 * @param domainDistance - 0..1; null: unknown, left out
 */
export function complexityOf(
  { classes, objects_per_image, small_share, overlap_share, gini }: DatasetFingerprint,
  domainDistance: number | null = null,
): Complexity {
  const terms: Record<string, number> = {
    classes: classes === 0 ? 0 : Math.min(1, Math.log2(classes) / 6),
    objects: Math.min(1, objects_per_image.p50 / 20),
    small: small_share,
    overlap: overlap_share,
    imbalance: gini,
    ...(domainDistance === null ? {} : { domain: domainDistance }),
  };
  const values = Object.values(terms);
  const value = values.reduce((sum, term) => sum + term, 0) / values.length;
  return { value, level: value < 1 / 3 ? "simple" : value < 2 / 3 ? "moderate" : "complex", terms };
}
