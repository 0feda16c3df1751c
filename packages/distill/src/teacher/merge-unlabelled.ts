import { isAbsolute, join, relative } from "node:path";
import type { CocoDataset } from "@seg/coco-dataset";
import type { StudentData } from "../train-config.js";

/** A training set with images that nobody annotated. */
export interface MergedData extends StudentData {
  /** Ids of the images without annotations. */
  readonly unlabelled: ReadonlySet<number>;
}

/**
 * Adds unlabelled images to a training set: annotations they may have are dropped, ids are renumbered where they collide. A training set that has no annotations at all is
 * unlabelled itself.
 */
export function mergeUnlabelled(train: StudentData, unlabelled: StudentData | null): MergedData {
  const { dataset, imagesDir } = train;
  const ids = new Set(dataset.annotations.length === 0 ? dataset.images.map(({ id }) => id) : []);
  if (unlabelled === null) return { ...train, unlabelled: ids };
  const taken = new Set(dataset.images.map(({ id }) => id));
  let next = dataset.images.reduce((most, { id }) => Math.max(most, id), 0) + 1;
  const images = unlabelled.dataset.images.map((image) => {
    const id = taken.has(image.id) ? next++ : image.id;
    taken.add(id);
    ids.add(id);
    const path = join(unlabelled.imagesDir, image.file_name);
    // Loaders join the folder with the name: a relative path leads out of it, an absolute one would not.
    const file_name = isAbsolute(imagesDir) === isAbsolute(path) ? relative(imagesDir, path) : path;
    return { ...image, id, file_name };
  });
  const merged: CocoDataset = { ...dataset, images: [...dataset.images, ...images] };
  return { dataset: merged, imagesDir, unlabelled: ids };
}
