import { createHash } from "node:crypto";
import type { ClassMapping, CocoDataset } from "@seg/coco-dataset";

/** `class_mapping.json`: class index -> name, category ids by class index, and the hash that checkpoints and exports carry. */
export interface ClassMappingFile {
  readonly class_mapping: Readonly<Record<string, string>>;
  readonly category_ids: readonly number[];
  readonly sha256: string;
}

/** The file form of a mapping. */
export function classMappingFile(mapping: ClassMapping): ClassMappingFile {
  const class_mapping = Object.fromEntries(mapping.classes.map(({ index, name }) => [String(index), name]));
  const category_ids = mapping.classes.map(({ categoryId }) => categoryId);
  const canonical = JSON.stringify(mapping.classes.map(({ index, categoryId, name }) => [index, categoryId, name]));
  return { class_mapping, category_ids, sha256: createHash("sha256").update(canonical).digest("hex") };
}

/** SHA-256 of what training reads of a dataset: images, categories, geometry. */
export function datasetHash({ images, categories, annotations }: CocoDataset): string {
  const hash = createHash("sha256");
  for (const { id, file_name, width, height } of images) hash.update(JSON.stringify([id, file_name, width, height]));
  for (const { id, name } of categories) hash.update(JSON.stringify([id, name]));
  for (const { id, image_id, category_id, bbox, iscrowd, segmentation } of annotations) {
    hash.update(JSON.stringify([id, image_id, category_id, bbox ?? null, iscrowd ?? 0, segmentation ?? null]));
  }
  return hash.digest("hex");
}
