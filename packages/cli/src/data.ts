import {
  assertUsable,
  type CocoDataset,
  type DatasetInspection,
  inspectDataset,
  loadDataset,
  validateDataset,
} from "@seg/coco-dataset";
import { imagesDirectory } from "./files.js";

/** A split as commands use it. */
export interface LoadedSplit {
  readonly path: string;
  readonly dataset: CocoDataset;
  readonly imagesDir: string;
  readonly inspection: DatasetInspection;
}

/** Loads a COCO file for training or evaluation: errors of validation (structure, geometry, existence of files) stop here. */
export async function loadSplit(path: string, images: string | undefined): Promise<LoadedSplit> {
  const source = await loadDataset(path);
  const imagesDir = await imagesDirectory({ dataset: source, path, option: images });
  const { dataset, report } = await validateDataset(source, { imagesDir });
  assertUsable(report);
  return { path, dataset, imagesDir, inspection: inspectDataset(source) };
}
