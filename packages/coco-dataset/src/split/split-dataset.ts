import { type ClassDistribution, classDistribution } from "../class-distribution.js";
import { createClassMapping } from "../class-mapping.js";
import { completeDataset } from "../complete-dataset.js";
import type { CocoDataset } from "../document.js";
import { SplitError } from "../errors.js";
import { type Finding, listSome, MAX_FINDING_IDS } from "../findings.js";
import { balanceInstances } from "./balance.js";
import { datasetFingerprint, idsSha256 } from "./fingerprint.js";
import { SplitRandom } from "./random.js";
import { DEFAULT_RATIOS, parseRatios, type SplitRatios, splitTargets } from "./ratios.js";
import { assignUnits, repairMinimum, type Unit } from "./stratify.js";
import { makeUnits, type UnitOptions } from "./units.js";

/** Options of {@link splitDataset}. */
export interface SplitOptions extends UnitOptions {
  /** Shares per split. @defaultValue "train:0.7,val:0.15,test:0.15" */
  readonly ratios?: string | SplitRatios;
  /** @defaultValue 42 */
  readonly seed?: number | string;
  /** Keep the class proportions (and negatives, like a class) in every split. @defaultValue true */
  readonly stratify?: boolean;
  /** Images of every class wanted in every split; 0 turns it off. @defaultValue 1 */
  readonly minPerSplit?: number;
}

/** How even a split is. */
export interface SplitMetrics {
  /** Mean over labels and splits of |p/(1-p) - d/(1-d)|, p and d the label's share of images in the split and overall. */
  readonly labelDistribution: number;
  /** Of the fraction of a class's instances that a split received, against its ratio. */
  readonly meanInstanceError: number;
  readonly maxInstanceError: number;
  /** Largest difference of a split's image count to its target; 0 without groups. */
  readonly maxSizeDeviation: number;
}

/** The content of `split.lock.json`. */
export interface SplitLock {
  readonly version: 1;
  readonly algorithm: "iterative-stratification/1";
  readonly seed: number | string;
  readonly ratios: SplitRatios;
  readonly stratify: boolean;
  /** `"function"` when grouping came from code. */
  readonly groupBy: string | null;
  readonly minPerSplit: number;
  /** Present where they were asked for. */
  readonly sizeBins?: boolean;
  readonly countQuartiles?: boolean;
  readonly dataset: { readonly numImages: number; readonly fingerprint: string };
  readonly splits: Readonly<
    Record<string, { readonly count: number; readonly idsSha256: string; readonly ids: readonly number[] }>
  >;
  readonly metrics: SplitMetrics;
  readonly findings: readonly Finding[];
}

/** Result of {@link splitDataset}. */
export interface SplitResult {
  /** One document per split, ids unchanged. */
  readonly splits: Readonly<Record<string, CocoDataset>>;
  readonly lock: SplitLock;
  /** Overall and per split. */
  readonly distribution: ClassDistribution;
  readonly findings: readonly Finding[];
}

/**
 * Splits a dataset by images: disjoint, complete, groups intact, class proportions kept, the same for any order of the input. Without
 * groups the sizes are exact (largest remainder).
 *
 * @throws SplitError on bad ratios, a split that would be empty, fewer units than splits
 * @example splitDataset(dataset, { ratios: "train:0.8,val:0.2", seed: 42 }).splits["val"]
 */
export function splitDataset(
  dataset: CocoDataset,
  { ratios = DEFAULT_RATIOS, seed = 42, stratify = true, minPerSplit = 1, ...unitOptions }: SplitOptions = {},
): SplitResult {
  const parsed = parseRatios(ratios);
  const names = parsed.map(([name]) => name);
  const shares = parsed.map(([, ratio]) => ratio);
  if (!Number.isInteger(minPerSplit) || minPerSplit < 0) {
    throw new SplitError({
      reason: "min-per-split",
      message: `minPerSplit is ${minPerSplit}, expected a whole number >= 0.`,
    });
  }
  const mapping = createClassMapping(dataset);
  const { units, numLabels } = makeUnits(
    dataset,
    mapping.classes.map((entry) => entry.categoryId),
    unitOptions,
  );
  if (units.length < names.length) {
    throw new SplitError({
      reason: "too-few-units",
      message: `${dataset.images.length} images cannot fill ${names.length} splits (${names.join(", ")}): images that belong together stay together, which leaves ${units.length} to divide. Use fewer splits or more images.`,
    });
  }
  const targets = splitTargets(shares, dataset.images.length);
  const empty = names.filter((_, j) => targets[j] === 0);
  if (empty.length > 0) throw emptySplit(empty, dataset.images.length);
  const stratified = stratify ? units : units.map((unit) => ({ ...unit, labels: new Map<number, number>() }));
  const random = new SplitRandom(seed);
  const assignment = assignUnits({ units: stratified, numLabels, ratios: shares, targets, random });
  const present = mapping.classes
    .map((entry) => entry.index)
    .filter((label) => units.some((unit) => unit.labels.has(label)));
  const short =
    stratify && minPerSplit > 0
      ? repairMinimum({ units, assignment, classLabels: present, numSplits: names.length, minimum: minPerSplit })
      : [];
  if (stratify) {
    balanceInstances({ units, assignment, ratios: shares, numLabels, minimum: minPerSplit, random });
  }

  const ids = names.map((_, j) =>
    units.flatMap((unit, u) => (assignment[u] === j ? unit.imageIds : [])).sort((a, b) => a - b),
  );
  const unfilled = names.filter((_, j) => ids[j]!.length === 0);
  if (unfilled.length > 0) throw emptySplit(unfilled, dataset.images.length);
  const splits = Object.fromEntries(names.map((name, j) => [name, subset(dataset, new Set(ids[j]!))]));
  const distribution = classDistribution(dataset, splits);
  const findings = shortFindings(short, mapping.classes, minPerSplit, names.length);
  const metrics = measure({ units, assignment, shares, targets, numLabels: mapping.classes.length + 1, distribution });
  const lock: SplitLock = {
    version: 1,
    algorithm: "iterative-stratification/1",
    seed,
    ratios: Object.fromEntries(parsed),
    stratify,
    groupBy: groupName(unitOptions.groupBy),
    minPerSplit,
    ...(unitOptions.sizeBins === true ? { sizeBins: true } : {}),
    ...(unitOptions.countQuartiles === true ? { countQuartiles: true } : {}),
    dataset: { numImages: dataset.images.length, fingerprint: datasetFingerprint(completeDataset(dataset).dataset) },
    splits: Object.fromEntries(
      names.map((name, j) => [name, { count: ids[j]!.length, idsSha256: idsSha256(ids[j]!), ids: ids[j]! }]),
    ),
    metrics,
    findings,
  };
  return { splits, lock, distribution, findings };
}

/** The `groupBy` of a lock file. */
function groupName(groupBy: SplitOptions["groupBy"]): string | null {
  return groupBy === undefined ? null : typeof groupBy === "string" ? groupBy : "function";
}

/** The part of a dataset that lies in some images. */
export function subset(dataset: CocoDataset, ids: ReadonlySet<number>): CocoDataset {
  return {
    ...dataset,
    images: dataset.images.filter((image) => ids.has(image.id)),
    annotations: dataset.annotations.filter((annotation) => ids.has(annotation.image_id)),
  };
}

function emptySplit(names: readonly string[], numImages: number): SplitError {
  return new SplitError({
    reason: "empty-split",
    message: `Split ${names.join(", ")} would be empty: ${numImages} images are too few for its ratio. Raise the ratio, drop the split or add images.`,
  });
}

function shortFindings(
  short: readonly number[],
  classes: readonly { index: number; categoryId: number; name: string }[],
  minPerSplit: number,
  numSplits: number,
): Finding[] {
  if (short.length === 0) return [];
  const rows = short.map((index) => classes[index]!);
  return [
    {
      code: "insufficient_instances",
      severity: "warn",
      layer: "split",
      message: `Not ${minPerSplit} in each of ${numSplits} splits (too few images, or no exchange that spares other classes): ${listSome(rows.map((row) => row.name))}. Earlier splits come first.`,
      count: rows.length,
      ids: rows.map((row) => row.categoryId).slice(0, MAX_FINDING_IDS),
    },
  ];
}

function measure(input: {
  units: readonly Unit[];
  assignment: Int32Array;
  shares: readonly number[];
  targets: readonly number[];
  numLabels: number;
  distribution: ClassDistribution;
}): SplitMetrics {
  const { units, assignment, shares, targets, numLabels, distribution } = input;
  const sizes = shares.map(() => 0);
  const counts = shares.map(() => new Float64Array(numLabels));
  const totals = new Float64Array(numLabels);
  units.forEach((unit, u) => {
    const j = assignment[u]!;
    sizes[j]! += unit.imageIds.length;
    for (const [label, images] of unit.labels) {
      if (label >= numLabels) continue;
      counts[j]![label]! += images;
      totals[label]! += images;
    }
  });
  const differences: number[] = [];
  for (let label = 0; label < numLabels; label++) {
    if (totals[label] === 0) continue;
    const overall = odds(totals[label]!, distribution.numImages);
    for (let j = 0; j < shares.length; j++) {
      const difference = Math.abs(odds(counts[j]![label]!, sizes[j]!) - overall);
      // A label that every image carries has infinite odds and says nothing.
      if (Number.isFinite(difference)) differences.push(difference);
    }
  }
  const errors = distribution.classes.flatMap((row) =>
    row.instances === 0
      ? []
      : shares.map((share, j) =>
          Math.abs(distribution.splits[j]!.classes[row.index]!.instances / row.instances - share),
        ),
  );
  return {
    labelDistribution: mean(differences),
    meanInstanceError: mean(errors),
    maxInstanceError: errors.reduce((a, b) => Math.max(a, b), 0),
    maxSizeDeviation: sizes.reduce((worst, size, j) => Math.max(worst, Math.abs(size - targets[j]!)), 0),
  };
}

const odds = (count: number, total: number) => count / (total - count);
const mean = (values: readonly number[]) =>
  values.length === 0 ? 0 : values.reduce((a, b) => a + b, 0) / values.length;
