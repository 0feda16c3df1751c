import { join } from "node:path";
import { createClassMapping, type Instance, instancesOf, type RgbImage } from "@seg/coco-dataset";
import { decodeImage } from "@seg/preprocess";
import type { LoadedSplit } from "../data.js";
import type { Output } from "../output.js";

/** An image with its annotated objects. */
export interface TeacherItem {
  readonly image: RgbImage;
  readonly instances: readonly Instance[];
}

/** What teachers are trained and judged on. */
export interface TeacherData {
  readonly train: readonly TeacherItem[];
  readonly val: readonly TeacherItem[];
  /** Class names by class index. */
  readonly names: readonly string[];
}

/** Decodes the images of a split, at most `limit`; images without an object stay, as negatives. */
export async function teacherItems(
  split: LoadedSplit,
  output: Output,
  limit = Number.POSITIVE_INFINITY,
): Promise<TeacherItem[]> {
  const mapping = createClassMapping(split.dataset);
  const images = split.dataset.images.slice(0, limit);
  const items: TeacherItem[] = [];
  for (const { id, file_name, width, height } of images) {
    items.push({
      image: await decodeImage(join(split.imagesDir, file_name), { expectedSize: { width, height } }),
      instances: instancesOf(split.dataset, id, mapping),
    });
    output.progress({ label: "reading", done: items.length, total: images.length });
  }
  return items;
}
