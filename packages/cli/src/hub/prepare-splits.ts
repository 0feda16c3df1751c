import { createHash } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type CocoDataset, splitDataset } from "@seg/coco-dataset";
import type { OpenDataset } from "@seg/model-hub";
import { writeJson } from "../files.js";
import { mergeDatasets } from "./merge-datasets.js";

/** Data of a training run of the hub. */
export interface PreparedSplits {
  /** What file names are relative to. */
  readonly root: string;
  readonly train: CocoDataset;
  readonly val: CocoDataset;
  /** Of the names of the validation images: versions with the same hash were measured on the same images. */
  readonly splitHash: string;
}

/**
 * One COCO document of all data sets, split by seed; `train.json` and `val.json` lie in `work` afterwards.
 * @throws HubError NO_ANNOTATIONS when a data set came without images
 */
export async function prepareSplits({
  datasets,
  work,
  valShare,
  seed,
}: {
  datasets: readonly OpenDataset[];
  work: string;
  valShare: number;
  seed: number;
}): Promise<PreparedSplits> {
  await mkdir(work, { recursive: true });
  // Every data set lies in a folder of its own below one root.
  const root = dirname(datasets[0]!.directory);
  const merged = await mergeDatasets(datasets, root);
  const { splits } = splitDataset(merged, { ratios: { train: 1 - valShare, val: valShare }, seed });
  const { train, val } = splits as { train: CocoDataset; val: CocoDataset };
  writeJson(join(work, "train.json"), train);
  writeJson(join(work, "val.json"), val);
  const names = val.images.map((image) => image.file_name).sort();
  return { root, train, val, splitHash: createHash("sha256").update(JSON.stringify(names)).digest("hex") };
}
