import type { CocoDataset } from "../document.js";
import { listSome } from "../findings.js";
import type { RawFinding } from "../validate/raw-finding.js";

/** Images that show the same thing; clusters of at least two image ids, ascending. */
export interface DuplicateReport {
  /** Equal bytes or equal decoded pixels. */
  readonly exact: readonly (readonly number[])[];
  /** Similar by perceptual hash, exact ones included. */
  readonly near: readonly (readonly number[])[];
  /** Largest Hamming distance of a near pair, of 64 bits. */
  readonly maxDistance: number;
  /** Images whose files could not be read or decoded. */
  readonly unreadable: readonly number[];
}

/** Findings about duplicates, and about clusters that lie in several splits. */
export function duplicateFindings(input: {
  dataset: CocoDataset;
  duplicates: Pick<DuplicateReport, "exact" | "near">;
  splits: Readonly<Record<string, CocoDataset>>;
}): RawFinding[] {
  const { duplicates, splits } = input;
  const findings: RawFinding[] = [];
  const add = (
    code: string,
    severity: RawFinding["severity"],
    layer: RawFinding["layer"],
    message: string,
    clusters: readonly (readonly number[])[],
  ) => {
    if (clusters.length === 0) return;
    const ids = [...new Set(clusters.flat())].sort((a, b) => a - b);
    findings.push({ code, severity, layer, message, ids, subject: "image" });
  };
  add(
    "exact_duplicate",
    "warn",
    "images",
    `${duplicates.exact.length} groups of images are the same picture`,
    duplicates.exact,
  );
  const exact = new Set(duplicates.exact.map((cluster) => cluster.join()));
  const near = duplicates.near.filter((cluster) => !exact.has(cluster.join()));
  add("near_duplicate", "warn", "images", `${near.length} groups of images are almost the same picture`, near);
  const home = new Map<number, string>();
  for (const [name, { images }] of Object.entries(splits)) for (const { id } of images) home.set(id, name);
  const leaking = duplicates.near.filter((cluster) => new Set(cluster.flatMap((id) => home.get(id) ?? [])).size > 1);
  const example = leaking[0]?.map((id) => `${id} in ${home.get(id) ?? "no split"}`) ?? [];
  add("split_leakage", "error", "split", `Splits share pictures (for example image ${listSome(example)})`, leaking);
  return findings;
}
