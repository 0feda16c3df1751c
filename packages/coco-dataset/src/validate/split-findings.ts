import { createClassMapping } from "../class-mapping.js";
import type { CocoDataset } from "../document.js";
import { listSome } from "../findings.js";
import { usableBbox } from "../presence.js";
import type { RawFinding } from "./raw-finding.js";
import type { HealthThresholds } from "./thresholds.js";

/** Upper bounds of the aspect bins (width over height). */
const ASPECTS = [1 / 4, 1 / 2, 1 / 1.25, 1.25, 2, 4];

/**
 * Findings about splits: images in several of them, classes that training never sees or that are nowhere else, drifting distributions. The
 * training split is the one named `train`, else the first.
 */
export function splitFindings(input: {
  dataset: CocoDataset;
  splits: Readonly<Record<string, CocoDataset>>;
  limits: HealthThresholds;
}): RawFinding[] {
  const { dataset, splits, limits } = input;
  const names = Object.keys(splits);
  if (names.length === 0) return [];
  const { classes } = createClassMapping(dataset);
  const nameOf = new Map(classes.map(({ categoryId, name }) => [categoryId, name]));
  const train = splits["train"] === undefined ? names[0]! : "train";
  const findings: RawFinding[] = [];
  const add = (code: string, severity: RawFinding["severity"], message: string, extra: Partial<RawFinding>) => {
    findings.push({ code, severity, layer: "split", message, ids: [], subject: "none", ...extra });
  };
  const shared = sharedImages(splits);
  if (shared.length > 0) {
    add("split_leakage", "error", "Images are in more than one split", {
      ids: shared,
      count: shared.length,
      subject: "image",
    });
  }
  const usedIn = new Map(names.map((name) => [name, new Set(regular(splits[name]!).map((a) => a.category_id))]));
  const inTrain = usedIn.get(train)!;
  const used = new Set(names.flatMap((name) => [...usedIn.get(name)!]));
  const list = (ids: readonly number[]) => listSome(ids.map((id) => nameOf.get(id) ?? String(id)));
  const ascending = (ids: Iterable<number>) => [...ids].sort((a, b) => a - b);
  const missing = ascending(new Set(regular(dataset).map((a) => a.category_id))).filter((id) => !inTrain.has(id));
  if (missing.length > 0) {
    add(
      "class_missing_in_train",
      "error",
      `Classes without an object in ${train} cannot be learned: ${list(missing)}.`,
      {
        ids: missing,
        count: missing.length,
      },
    );
  }
  const elsewhere = ascending(used).filter((id) => !inTrain.has(id));
  if (elsewhere.length > 0) {
    add(
      "only_in_val_test",
      "warn",
      `Classes that only other splits than ${train} have, so that they are tested unlearned: ${list(elsewhere)}.`,
      {
        ids: elsewhere,
        count: elsewhere.length,
      },
    );
  }
  const features = { class: classBins, size: sizeBins, aspect: aspectBins } as const;
  for (const [feature, bins] of Object.entries(features)) {
    const drifting = names.flatMap((name) => {
      const value = jensenShannon(bins(splits[name]!), bins(dataset));
      return value > limits.splitDrift ? [`${name} (${value.toFixed(3)} bit)`] : [];
    });
    if (drifting.length === 0) continue;
    add("split_drift", "warn", `The ${feature} distribution of splits differs from all data: ${listSome(drifting)}.`, {
      count: drifting.length,
    });
  }
  return findings;
}

function regular({ annotations }: CocoDataset): CocoDataset["annotations"] {
  return annotations.filter((annotation) => annotation.iscrowd !== 1);
}

function sharedImages(splits: Readonly<Record<string, CocoDataset>>): number[] {
  const seen = new Set<number>();
  const shared = new Set<number>();
  for (const { images } of Object.values(splits)) {
    for (const id of new Set(images.map((image) => image.id))) {
      if (seen.has(id)) shared.add(id);
      seen.add(id);
    }
  }
  return [...shared].sort((a, b) => a - b);
}

type Histogram = Map<number, number>;

function histogram(values: readonly number[]): Histogram {
  const counts: Histogram = new Map();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}

const classBins = (dataset: CocoDataset) => histogram(regular(dataset).map(({ category_id }) => category_id));
/** Octaves of the area. */
const sizeBins = (dataset: CocoDataset) =>
  histogram(
    regular(dataset).flatMap((annotation) => {
      const box = usableBbox(annotation);
      const area = annotation.area ?? (box === null ? 0 : box[2] * box[3]);
      return area > 0 ? [Math.floor(Math.log2(area) / 2)] : [];
    }),
  );
const aspectBins = (dataset: CocoDataset) =>
  histogram(
    regular(dataset).flatMap((annotation) => {
      const box = usableBbox(annotation);
      if (box === null || !(box[2] > 0 && box[3] > 0)) return [];
      return [ASPECTS.filter((bound) => box[2] / box[3] > bound).length];
    }),
  );

/** Jensen-Shannon divergence in bits: (KL(p, m) + KL(q, m)) / 2 with m = (p + q) / 2; 0 for an empty histogram. */
function jensenShannon(p: Histogram, q: Histogram): number {
  const total = (counts: Histogram) => [...counts.values()].reduce((sum, value) => sum + value, 0);
  const [totalP, totalQ] = [total(p), total(q)];
  if (totalP === 0 || totalQ === 0) return 0;
  let sum = 0;
  for (const key of new Set([...p.keys(), ...q.keys()])) {
    const a = (p.get(key) ?? 0) / totalP;
    const b = (q.get(key) ?? 0) / totalQ;
    const m = (a + b) / 2;
    if (a > 0) sum += (a * Math.log2(a / m)) / 2;
    if (b > 0) sum += (b * Math.log2(b / m)) / 2;
  }
  return sum;
}
