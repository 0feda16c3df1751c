import type { CocoDataset } from "../document.js";
import { SplitError } from "../errors.js";
import { type SplitOptions, type SplitResult, splitDataset, subset } from "./split-dataset.js";

/** One round of cross-validation. */
export interface Fold {
  readonly train: CocoDataset;
  readonly val: CocoDataset;
}

/**
 * k equal, stratified parts (`splitDataset` with ratios 1/k), each the validation set of one fold.
 * @throws SplitError as `splitDataset`, or when k is not a whole number >= 2
 */
export function kFold(
  dataset: CocoDataset,
  { k, ...options }: { k: number } & Omit<SplitOptions, "ratios">,
): { folds: readonly Fold[]; parts: SplitResult } {
  if (!(Number.isInteger(k) && k >= 2)) {
    throw new SplitError({ reason: "ratios", message: `kFold: k is ${k}, expected a whole number >= 2.` });
  }
  const ratios = Object.fromEntries(Array.from({ length: k }, (_, i) => [`fold${i + 1}`, 1 / k]));
  const parts = splitDataset(dataset, { ...options, ratios });
  const folds = Object.values(parts.splits).map((val) => {
    const held = new Set(val.images.map((image) => image.id));
    const rest = new Set(dataset.images.map((image) => image.id).filter((id) => !held.has(id)));
    return { train: subset(dataset, rest), val };
  });
  return { folds, parts };
}
