import { createClassMapping } from "./class-mapping.js";
import { completeDataset } from "./complete-dataset.js";
import type { CocoDataset } from "./document.js";

/** Non-crowd instances of one class. */
export interface ClassRow {
  readonly index: number;
  readonly categoryId: number;
  readonly name: string;
  /** Images with at least one instance. */
  readonly images: number;
  readonly instances: number;
  /** Of all instances, in [0, 1]. */
  readonly share: number;
  /** Instances by area in pixels: below 32^2, below 96^2, above. */
  readonly small: number;
  readonly medium: number;
  readonly large: number;
}

/** Class counts of one split. */
export interface SplitRow {
  readonly name: string;
  readonly images: number;
  readonly negatives: number;
  readonly instances: number;
  /** By class index. */
  readonly classes: readonly { readonly images: number; readonly instances: number }[];
}

/** Class counts of a dataset, and of its splits when given. */
export interface ClassDistribution {
  readonly numImages: number;
  /** Images without annotations: they teach the background. */
  readonly numNegatives: number;
  readonly numInstances: number;
  readonly classes: readonly ClassRow[];
  readonly splits: readonly SplitRow[];
}

/**
 * Instances, images and sizes per class; crowd regions are not counted.
 *
 * @param splits - datasets of the splits by name, for per-split columns
 */
export function classDistribution(
  dataset: CocoDataset,
  splits: Readonly<Record<string, CocoDataset>> = {},
): ClassDistribution {
  const { classes } = createClassMapping(dataset);
  const total = count(dataset);
  const numInstances = [...total.byCategory.values()].reduce((sum, entry) => sum + entry.instances, 0);
  return {
    numImages: dataset.images.length,
    numNegatives: total.negatives,
    numInstances,
    classes: classes.map(({ index, categoryId, name }) => {
      const entry = total.byCategory.get(categoryId);
      const [small = 0, medium = 0, large = 0] = entry?.sizes ?? [];
      const instances = entry?.instances ?? 0;
      const share = numInstances === 0 ? 0 : instances / numInstances;
      return { index, categoryId, name, images: entry?.images.size ?? 0, instances, share, small, medium, large };
    }),
    splits: Object.entries(splits).map(([name, part]) => {
      const { byCategory, negatives } = count(part);
      const rows = classes.map(({ categoryId }) => {
        const entry = byCategory.get(categoryId);
        return { images: entry?.images.size ?? 0, instances: entry?.instances ?? 0 };
      });
      const instances = rows.reduce((sum, row) => sum + row.instances, 0);
      return { name, images: part.images.length, negatives, instances, classes: rows };
    }),
  };
}

function count(dataset: CocoDataset) {
  const byCategory = new Map<number, { instances: number; images: Set<number>; sizes: [number, number, number] }>();
  const annotated = new Set<number>();
  for (const annotation of completeDataset(dataset).dataset.annotations) {
    annotated.add(annotation.image_id);
    if (annotation.iscrowd === 1) continue;
    let entry = byCategory.get(annotation.category_id);
    if (entry === undefined) {
      entry = { instances: 0, images: new Set(), sizes: [0, 0, 0] };
      byCategory.set(annotation.category_id, entry);
    }
    entry.instances++;
    entry.images.add(annotation.image_id);
    const area = annotation.area ?? 0;
    entry.sizes[area < 32 ** 2 ? 0 : area < 96 ** 2 ? 1 : 2]++;
  }
  const negatives = dataset.images.filter((image) => !annotated.has(image.id)).length;
  return { byCategory, negatives };
}
