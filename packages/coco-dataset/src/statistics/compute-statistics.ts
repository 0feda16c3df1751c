import { type ClassRow, classDistribution } from "../class-distribution.js";
import { completeDataset } from "../complete-dataset.js";
import type { CocoDataset } from "../document.js";
import { isPolygons, usableBbox, usableSegmentation } from "../presence.js";

/** Percentiles of a list of numbers (linear interpolation, as numpy's default); zeros for an empty list. */
export interface Percentiles {
  readonly count: number;
  readonly min: number;
  readonly p5: number;
  readonly p25: number;
  readonly p50: number;
  readonly p75: number;
  readonly p95: number;
  readonly max: number;
  readonly mean: number;
}

/** Numbers about one class. */
export interface ClassStatistics extends ClassRow {
  /** Of boxes with positive sides, pixels; aspect is width over height. */
  readonly width: Percentiles;
  readonly height: Percentiles;
  readonly aspect: Percentiles;
  /** 32 x 32 counts of box centres over the image, row-major. */
  readonly heatmap: Uint32Array;
}

/** Result of {@link computeStatistics}; crowd regions are left out. */
export interface DatasetStatistics {
  readonly classes: readonly ClassStatistics[];
  readonly objectsPerImage: Percentiles;
  /** Sizes of images, most frequent first. */
  readonly imageSizes: readonly { readonly width: number; readonly height: number; readonly count: number }[];
  /** [class][class]: images that hold both; the diagonal is the images of the class. */
  readonly coOccurrence: readonly (readonly number[])[];
  /** Of each polygon part. */
  readonly verticesPerPolygon: Percentiles;
  /** 32 x 32 counts of all box centres, row-major. */
  readonly heatmap: Uint32Array;
  /** Most frequent class over the rarest that occurs; 1 for a single class, 0 without objects. */
  readonly imbalance: number;
  /** Shannon entropy of the class shares in bits. */
  readonly entropy: number;
  /** Share of objects whose shorter side is below 8 px once the longer side of the image is 640. */
  readonly tinyShare: number;
}

const HEATMAP_SIDE = 32;
const LETTERBOX = 640;
const TINY_SIDE = 8;

/** Distribution of classes, sizes, places and shapes. */
export function computeStatistics(dataset: CocoDataset): DatasetStatistics {
  const { classes } = classDistribution(dataset);
  const classOf = new Map(classes.map(({ categoryId, index }) => [categoryId, index]));
  const images = new Map(dataset.images.map((image) => [image.id, image]));
  const sides = classes.map(() => ({ width: [] as number[], height: [] as number[], aspect: [] as number[] }));
  const heatmaps = classes.map(() => new Uint32Array(HEATMAP_SIDE ** 2));
  const heatmap = new Uint32Array(HEATMAP_SIDE ** 2);
  const perImage = new Map(dataset.images.map(({ id }) => [id, 0]));
  const classesOf = new Map<number, Set<number>>();
  const vertices: number[] = [];
  let boxes = 0;
  let tiny = 0;
  for (const annotation of completeDataset(dataset).dataset.annotations) {
    const index = classOf.get(annotation.category_id);
    const image = images.get(annotation.image_id);
    if (annotation.iscrowd === 1 || index === undefined || image === undefined) continue;
    perImage.set(image.id, perImage.get(image.id)! + 1);
    const list = classesOf.get(image.id);
    if (list === undefined) classesOf.set(image.id, new Set([index]));
    else list.add(index);
    const segmentation = usableSegmentation(annotation);
    if (segmentation !== null && isPolygons(segmentation))
      for (const part of segmentation) vertices.push(part.length / 2);
    const box = usableBbox(annotation);
    if (box === null || !(box[2] > 0 && box[3] > 0)) continue;
    const [x, y, w, h] = box;
    sides[index]!.width.push(w);
    sides[index]!.height.push(h);
    sides[index]!.aspect.push(w / h);
    const cell = HEATMAP_SIDE * binOf(y + h / 2, image.height) + binOf(x + w / 2, image.width);
    heatmaps[index]![cell]!++;
    heatmap[cell]!++;
    boxes++;
    if ((Math.min(w, h) * LETTERBOX) / Math.max(image.width, image.height) < TINY_SIDE) tiny++;
  }
  const counts = classes.map(({ instances }) => instances).filter((count) => count > 0);
  const total = counts.reduce((sum, count) => sum + count, 0);
  return {
    classes: classes.map((row, index) => ({
      ...row,
      width: percentiles(sides[index]!.width),
      height: percentiles(sides[index]!.height),
      aspect: percentiles(sides[index]!.aspect),
      heatmap: heatmaps[index]!,
    })),
    objectsPerImage: percentiles([...perImage.values()]),
    imageSizes: imageSizes(dataset),
    coOccurrence: coOccurrence(classes.length, classesOf),
    verticesPerPolygon: percentiles(vertices),
    heatmap,
    imbalance: counts.length === 0 ? 0 : Math.max(...counts) / Math.min(...counts),
    entropy: counts.reduce((sum, count) => sum - (count / total) * Math.log2(count / total), 0),
    tinyShare: boxes === 0 ? 0 : tiny / boxes,
  };
}

function binOf(position: number, size: number): number {
  const bin = Math.floor((position / size) * HEATMAP_SIDE);
  return Number.isFinite(bin) ? Math.min(HEATMAP_SIDE - 1, Math.max(0, bin)) : 0;
}

function imageSizes({ images }: CocoDataset): DatasetStatistics["imageSizes"] {
  const counts = new Map<string, { width: number; height: number; count: number }>();
  for (const { width, height } of images) {
    const entry = counts.get(`${width}x${height}`);
    if (entry === undefined) counts.set(`${width}x${height}`, { width, height, count: 1 });
    else entry.count++;
  }
  return [...counts.values()].sort((a, b) => b.count - a.count || a.width - b.width || a.height - b.height);
}

function coOccurrence(numClasses: number, classesOf: ReadonlyMap<number, ReadonlySet<number>>): number[][] {
  const matrix = Array.from({ length: numClasses }, () => new Array<number>(numClasses).fill(0));
  for (const list of classesOf.values()) for (const a of list) for (const b of list) matrix[a]![b]!++;
  return matrix;
}

/** Quantile of ascending values by linear interpolation, as numpy's default; 0 for an empty list. */
export function quantile(sorted: ArrayLike<number>, share: number): number {
  if (sorted.length === 0) return 0;
  const position = share * (sorted.length - 1);
  const low = Math.floor(position);
  const high = Math.min(sorted.length - 1, low + 1);
  return sorted[low]! + (position - low) * (sorted[high]! - sorted[low]!);
}

/**
 * Extremes, mean and percentiles, interpolated linearly between ranks; zeros for no values.
 * @param values - any order, left alone
 */
export function percentiles(values: readonly number[]): Percentiles {
  const sorted = Float64Array.from(values).sort();
  const at = (share: number) => quantile(sorted, share);
  const mean = sorted.length === 0 ? 0 : sorted.reduce((sum, value) => sum + value, 0) / sorted.length;
  return {
    count: sorted.length,
    min: at(0),
    p5: at(0.05),
    p25: at(0.25),
    p50: at(0.5),
    p75: at(0.75),
    p95: at(0.95),
    max: at(1),
    mean,
  };
}
