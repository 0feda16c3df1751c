import { classDistribution } from "../class-distribution.js";
import { createClassMapping } from "../class-mapping.js";
import { completeDataset } from "../complete-dataset.js";
import type { CocoDataset } from "../document.js";
import { SplitError } from "../errors.js";
import { listSome } from "../findings.js";
import { datasetFingerprint, idsSha256 } from "./fingerprint.js";
import { SplitRandom } from "./random.js";
import { splitTargets } from "./ratios.js";
import { type SplitLock, type SplitOptions, type SplitResult, subset } from "./split-dataset.js";
import { assignUnits } from "./stratify.js";
import { makeUnits } from "./units.js";

/** What {@link verifySplit} found. */
export interface SplitVerification {
  /** The lock describes exactly this dataset and is not damaged. */
  readonly ok: boolean;
  /** Image ids that the lock does not know. */
  readonly added: readonly number[];
  /** Image ids of the lock that the dataset does not have. */
  readonly removed: readonly number[];
  /** Image ids in more than one split. */
  readonly overlapping: readonly number[];
  /** Splits whose ids do not fit their count or checksum. */
  readonly damaged: readonly string[];
  /** Whether images, categories and annotations of the locked images are as they were. */
  readonly isContentEqual: boolean;
}

/** Compares a lock file with a dataset; never throws for a difference. */
export function verifySplit(lock: SplitLock, dataset: CocoDataset): SplitVerification {
  const seen = new Set<number>();
  const overlapping = new Set<number>();
  for (const { ids } of Object.values(lock.splits)) {
    for (const id of ids) {
      if (seen.has(id)) overlapping.add(id);
      seen.add(id);
    }
  }
  const current = new Set(dataset.images.map((image) => image.id));
  const added = [...current].filter((id) => !seen.has(id)).sort((a, b) => a - b);
  const removed = [...seen].filter((id) => !current.has(id)).sort((a, b) => a - b);
  const damaged = Object.entries(lock.splits).flatMap(([name, { count, ids, idsSha256: sum }]) =>
    count === ids.length && sum === idsSha256(ids) ? [] : [name],
  );
  // Ids of annotations without one are given by completion, which counts on from the largest: the whole set decides.
  const { dataset: completed } = completeDataset(dataset);
  const locked = added.length === 0 ? completed : subset(completed, seen);
  const isContentEqual = datasetFingerprint(locked) === lock.dataset.fingerprint;
  const ok =
    isContentEqual &&
    [added, removed, [...overlapping], damaged].every((list: readonly unknown[]) => list.length === 0);
  return { ok, added, removed, overlapping: [...overlapping], damaged, isContentEqual };
}

/**
 * The datasets that a lock file describes.
 *
 * @param options.extend - images that are new go to the splits that lack most of their classes; the old ones stay. @defaultValue false
 * @throws SplitError (reason `dataset-changed`) naming images that were added or removed, or when annotations changed
 */
export function applySplit(
  lock: SplitLock,
  dataset: CocoDataset,
  { extend = false, ...options }: { extend?: boolean } & Pick<SplitOptions, "groupBy" | "together"> = {},
): Readonly<Record<string, CocoDataset>> {
  if (extend) return extendSplit(lock, dataset, options).splits;
  refuseChanges(verifySplit(lock, dataset), false);
  return Object.fromEntries(
    Object.entries(lock.splits).map(([name, { ids }]) => [name, subset(dataset, new Set(ids))]),
  );
}

/**
 * The split of a dataset that grew: locked images stay where they are, new ones are stratified over what the splits still need, and an
 * image whose group is known joins it. The result carries a new lock.
 *
 * @param options.groupBy - only where the lock was made with a function, which a file cannot hold
 * @throws SplitError (reason `dataset-changed`) when locked images are gone or changed
 */
export function extendSplit(
  lock: SplitLock,
  dataset: CocoDataset,
  { groupBy, together = [] }: Pick<SplitOptions, "groupBy" | "together"> = {},
): Pick<SplitResult, "splits" | "lock" | "distribution"> {
  const verification = verifySplit(lock, dataset);
  refuseChanges(verification, true);
  const grouping = groupBy ?? (lock.groupBy === null || lock.groupBy === "function" ? undefined : lock.groupBy);
  if (grouping === undefined && lock.groupBy === "function") {
    throw new SplitError({
      reason: "group-by",
      message: "The lock was made with a groupBy function; pass the same function to extend it.",
    });
  }
  const names = Object.keys(lock.splits);
  const ratios = names.map((name) => lock.ratios[name]!);
  const home = new Map(names.flatMap((name, j) => lock.splits[name]!.ids.map((id) => [id, j] as const)));
  const { units, numLabels } = makeUnits(
    dataset,
    createClassMapping(dataset).classes.map((entry) => entry.categoryId),
    {
      ...(grouping === undefined ? {} : { groupBy: grouping }),
      together,
      sizeBins: lock.sizeBins === true,
      countQuartiles: lock.countQuartiles === true,
    },
  );
  // Units with a locked image go where it is; its split is fixed before the others are drawn.
  const fixed = Int32Array.from(units, (unit) => {
    const known = unit.imageIds.find((id) => home.has(id));
    return known === undefined ? -1 : home.get(known)!;
  });
  const assignment = assignUnits({
    units: lock.stratify ? units : units.map((unit) => ({ ...unit, labels: new Map() })),
    numLabels,
    ratios,
    targets: splitTargets(
      ratios,
      units.reduce((sum, unit) => sum + unit.imageIds.length, 0),
    ),
    random: new SplitRandom(lock.seed),
    fixed,
  });
  const ids: number[][] = names.map(() => []);
  units.forEach((unit, u) => {
    for (const id of unit.imageIds) ids[home.get(id) ?? assignment[u]!]!.push(id);
  });
  for (const list of ids) list.sort((a, b) => a - b);
  const splits = Object.fromEntries(names.map((name, j) => [name, subset(dataset, new Set(ids[j]!))]));
  return {
    splits,
    distribution: classDistribution(dataset, splits),
    lock: {
      ...lock,
      dataset: {
        numImages: home.size + verification.added.length,
        fingerprint: datasetFingerprint(completeDataset(dataset).dataset),
      },
      splits: Object.fromEntries(
        names.map((name, j) => [name, { count: ids[j]!.length, idsSha256: idsSha256(ids[j]!), ids: ids[j]! }]),
      ),
    },
  };
}

function refuseChanges(found: SplitVerification, mayGrow: boolean): void {
  const { added, removed, overlapping, damaged, isContentEqual } = found;
  if (damaged.length > 0 || overlapping.length > 0) {
    throw new SplitError({
      reason: "dataset-changed",
      ids: overlapping,
      message: `The lock file is damaged (splits ${listSome(damaged) || "none"} do not fit their checksum; images in two splits: ${listSome(overlapping) || "none"}). Restore it or split again.`,
    });
  }
  if (removed.length === 0 && isContentEqual && (mayGrow || added.length === 0)) return;
  const images = `images added: ${listSome(added) || "none"}; removed: ${listSome(removed) || "none"}`;
  const todo =
    added.length > 0 && removed.length === 0 && isContentEqual
      ? "Use extend to place the new images, or split it again."
      : "Split it again, or restore the file.";
  throw new SplitError({
    reason: "dataset-changed",
    ids: [...added, ...removed],
    message: `The dataset is not the one of the lock file (${images}${isContentEqual ? "" : "; locked images, categories or annotations changed"}). ${todo}`,
  });
}
