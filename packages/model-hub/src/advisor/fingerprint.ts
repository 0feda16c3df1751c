import {
  type AppearanceStatistics,
  appearanceStatistics,
  boxIou,
  type CocoDataset,
  completeDataset,
  computeStatistics,
  datasetFingerprint,
  inspectDataset,
  type Percentiles,
  percentiles,
  quantile,
  xywhToXyxy,
} from "@seg/coco-dataset";
import { canonicalSha256 } from "../registry/canonical-json.js";

/** Objects of one image that overlap more than this are in each other's way. */
const OVERLAP = 0.3;
/** Share of the image below which an object is small. */
const SMALL_AREA = 0.01;
/** Pairs of one image that are compared; beyond it the overlap is that of the first. */
const MAX_OBJECTS = 500;

/** What a dataset is like: the same dataset gives the same JSON. Sizes are relative to the image. */
export interface DatasetFingerprint {
  readonly schema: 1;
  readonly images: number;
  readonly negatives: number;
  readonly annotations: number;
  readonly classes: number;
  readonly class_names: readonly string[];
  /** As annotated by people. */
  readonly has_bbox: boolean;
  readonly has_segmentation: boolean;
  readonly crowd_share: number;
  /** Pixels. */
  readonly image_width: Percentiles;
  readonly image_height: Percentiles;
  /** Area of the box over the area of the image. */
  readonly relative_area: Percentiles;
  /** Short side of the box over the long side of the image. */
  readonly relative_short_side: Percentiles;
  /** Its 10th percentile. */
  readonly short_side_p10: number;
  readonly objects_per_image: Percentiles;
  /** Images of the class that has fewest, of those that occur. */
  readonly images_per_class_min: number;
  /** Objects of the most frequent class over those of the rarest that occurs. */
  readonly imbalance: number;
  /** Of the objects per class: 0 even, towards 1 all in one class. */
  readonly gini: number;
  /** Share of objects below 1 % of their image. */
  readonly small_share: number;
  /** Share of objects that overlap another one with IoU above 0.3. */
  readonly overlap_share: number;
  /** Null where no images were given. */
  readonly appearance: AppearanceStatistics | null;
  /** SHA-256 of ids, names and sizes, as split locks have it. */
  readonly dataset_sha256: string;
}

/**
 * Facts about a dataset that decide how to train on it. Crowd regions are counted and otherwise left out; boxes are derived
 * from masks where they are absent.
 *
 * @param imagesDir - reads pixels as well (needs sharp); without it `appearance` is null
 * @throws SharpMissingError of @seg/coco-dataset; `signal.reason`
 */
export async function fingerprintDataset(
  dataset: CocoDataset,
  { imagesDir = null, signal }: { imagesDir?: string | null; signal?: AbortSignal } = {},
): Promise<DatasetFingerprint> {
  const inspection = inspectDataset(dataset);
  const statistics = computeStatistics(dataset);
  const shapes = objectShapes(dataset);
  const perClass = statistics.classes.map(({ instances }) => instances).filter((count) => count > 0);
  const perClassImages = statistics.classes.map(({ images }) => images).filter((count) => count > 0);
  return {
    schema: 1,
    images: inspection.numImages,
    negatives: inspection.numNegatives,
    annotations: inspection.numAnnotations,
    classes: inspection.numClasses,
    class_names: inspection.classMapping.map(({ name }) => name),
    has_bbox: inspection.hasBoxes,
    has_segmentation: inspection.hasMasks,
    crowd_share: share(inspection.numCrowd, inspection.numAnnotations),
    image_width: percentiles(dataset.images.map(({ width }) => width)),
    image_height: percentiles(dataset.images.map(({ height }) => height)),
    relative_area: percentiles(shapes.areas),
    relative_short_side: percentiles(shapes.shortSides),
    short_side_p10: quantile(Float64Array.from(shapes.shortSides).sort(), 0.1),
    objects_per_image: percentiles(shapes.perImage),
    images_per_class_min: perClassImages.length === 0 ? 0 : Math.min(...perClassImages),
    imbalance: statistics.imbalance,
    gini: gini(perClass),
    small_share: share(shapes.areas.filter((area) => area < SMALL_AREA).length, shapes.areas.length),
    overlap_share: share(shapes.overlapping, shapes.areas.length),
    appearance:
      imagesDir === null ? null : await appearanceStatistics(dataset, { imagesDir, ...(signal ? { signal } : {}) }),
    dataset_sha256: datasetFingerprint(dataset),
  };
}

/** SHA-256 of a fingerprint's canonical JSON. */
export function fingerprintSha256(fingerprint: DatasetFingerprint): string {
  return canonicalSha256(fingerprint);
}

function objectShapes(dataset: CocoDataset) {
  const images = new Map(
    dataset.images.map((image) => [image.id, { image, boxes: [] as [number, number, number, number][] }]),
  );
  const areas: number[] = [];
  const shortSides: number[] = [];
  for (const { bbox, image_id, iscrowd } of completeDataset(dataset).dataset.annotations) {
    const entry = images.get(image_id);
    if (entry === undefined || iscrowd === 1 || !Array.isArray(bbox)) continue;
    const [x, y, w, h] = bbox as [number, number, number, number];
    if (!(w > 0 && h > 0)) continue;
    const { width, height } = entry.image;
    areas.push((w * h) / (width * height));
    shortSides.push(Math.min(w, h) / Math.max(width, height));
    entry.boxes.push([x, y, w, h]);
  }
  let overlapping = 0;
  for (const { boxes } of images.values()) {
    const corners = boxes.slice(0, MAX_OBJECTS).map(xywhToXyxy);
    for (const [i, box] of corners.entries()) {
      if (corners.some((other, j) => j !== i && boxIou(box, other) > OVERLAP)) overlapping++;
    }
  }
  return { areas, shortSides, overlapping, perImage: [...images.values()].map(({ boxes }) => boxes.length) };
}

const share = (part: number, whole: number): number => (whole === 0 ? 0 : part / whole);

/** Gini coefficient of counts: sum |a - b| over all pairs / (2 n sum). */
function gini(counts: readonly number[]): number {
  const sorted = counts.toSorted((a, b) => a - b);
  const total = sorted.reduce((sum, count) => sum + count, 0);
  if (total === 0) return 0;
  const weighted = sorted.reduce((sum, count, i) => sum + (2 * (i + 1) - sorted.length - 1) * count, 0);
  return weighted / (sorted.length * total);
}
