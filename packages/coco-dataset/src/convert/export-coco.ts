import { completeDataset } from "../complete-dataset.js";
import type { CocoAnnotation, CocoDataset, CocoImage, CocoSegmentation } from "../document.js";
import { toCompressed } from "../mask/compressed.js";
import { toPolygons } from "../mask/to-polygons.js";
import { isPolygons, usableSegmentation } from "../presence.js";
import { segmentationToRle } from "../segmentation.js";
import { MaskAuditor } from "./audit-masks.js";
import type { Conversion } from "./conversion.js";
import { ConversionLossError } from "./errors.js";
import { LossList } from "./loss-list.js";

/** Options of a conversion to COCO. */
export interface CocoExportOptions {
  /** Image ids by split: one document each, `train.json` and so on. @defaultValue one document, `annotations.json` */
  readonly splits?: Readonly<Record<string, readonly number[]>>;
  /** Form of the masks of non-crowd annotations. Both directions keep every pixel. @defaultValue "as-is" */
  readonly masks?: "as-is" | "polygon" | "rle";
  /** With `polygon`: largest distance in pixels by which an outline may move. Above 0 masks change: lower `minIou`. @defaultValue 0 */
  readonly simplify?: number;
  /** Number images, categories and annotations from 1, for tools that stumble over id 0. @defaultValue false */
  readonly renumber?: boolean;
  /** Decimals of boxes and polygons. @defaultValue none: numbers stay as they are */
  readonly decimals?: number;
  /** Write in spite of losses. @defaultValue false */
  readonly allowLoss?: boolean;
  /** Masks that come back with a lower IoU are losses. @defaultValue 1 */
  readonly minIou?: number;
  readonly signal?: AbortSignal;
}

/** Keys in the order of the official files; others follow in theirs. */
const KEY_ORDER = [
  "id",
  "image_id",
  "category_id",
  "bbox",
  "area",
  "iscrowd",
  "segmentation",
  "keypoints",
  "num_keypoints",
];

/**
 * COCO documents: area, bbox and iscrowd present, keys in one order, unknown keys kept.
 *
 * @throws ConversionLossError when rounding changes masks, unless `allowLoss`
 */
export function exportCoco(dataset: CocoDataset, options: CocoExportOptions = {}): Conversion {
  const { masks = "as-is", renumber = false, simplify = 0, decimals, allowLoss = false, minIou = 1, signal } = options;
  const losses = new LossList();
  const auditor = new MaskAuditor({ minIou });
  const source = completeDataset(dataset).dataset;
  const images = new Map(source.images.map((image) => [image.id, image]));
  const annotations = source.annotations.map((annotation) => {
    signal?.throwIfAborted();
    const image = images.get(annotation.image_id);
    return ordered(
      image === undefined ? annotation : reshape({ annotation, image, masks, simplify, decimals, auditor }),
    );
  });
  for (const id of auditor.changedIds) {
    losses.add("mask_changed", id, `masks differ from the annotated ones (IoU below ${minIou})`, true);
  }
  const whole = { ...source, annotations };
  const document = renumber ? renumbered(whole) : whole;
  const files = new Map<string, CocoDataset>();
  if (options.splits === undefined) files.set("annotations.json", document);
  else {
    const position = new Map(source.images.map((image, index) => [image.id, document.images[index]!.id]));
    const listed = new Set(Object.values(options.splits).flat());
    for (const { id } of source.images) {
      if (!listed.has(id)) losses.add("image_not_in_split", id, "images belong to no split and are left out", true);
    }
    for (const [name, ids] of Object.entries(options.splits)) {
      const kept = new Set(ids.map((id) => position.get(id)));
      files.set(`${name}.json`, {
        ...document,
        images: document.images.filter((image) => kept.has(image.id)),
        annotations: document.annotations.filter((annotation) => kept.has(annotation.image_id)),
      });
    }
  }
  const lossReport = {
    to: "coco",
    numImages: source.images.length,
    numAnnotations: source.annotations.length,
    numWritten: [...files.values()].reduce((sum, part) => sum + part.annotations.length, 0),
    losses: losses.list(),
    audit: auditor.result(),
  } as const;
  const refused = lossReport.losses.filter((loss) => loss.needsConsent);
  if (refused.length > 0 && !allowLoss) throw new ConversionLossError({ to: "COCO", losses: refused });
  return { files, images: [], lossReport };
}

function reshape({
  annotation,
  image,
  masks,
  simplify,
  decimals,
  auditor,
}: {
  annotation: CocoAnnotation;
  image: CocoImage;
  masks: "as-is" | "polygon" | "rle";
  simplify: number;
  decimals: number | undefined;
  auditor: MaskAuditor;
}): CocoAnnotation {
  const { id } = annotation;
  const { width, height } = image;
  const round = (value: number) =>
    decimals === undefined ? value : Math.round(value * 10 ** decimals) / 10 ** decimals;
  const bbox = annotation.bbox?.map(round);
  const boxed = bbox === undefined ? annotation : { ...annotation, bbox };
  const segmentation = usableSegmentation(annotation);
  if (segmentation === null || annotation.iscrowd === 1) return boxed;
  const before = () => segmentationToRle(segmentation, height, width, { annotationId: id });
  let after: CocoSegmentation = segmentation;
  if (masks === "polygon" && !isPolygons(segmentation))
    after = toPolygons(before(), { simplify }).map((part) => [...part]);
  if (masks === "rle" && (isPolygons(segmentation) || typeof segmentation.counts !== "string")) {
    after = { size: [height, width], counts: toCompressed(before()) };
  }
  if (isPolygons(after) && decimals !== undefined) after = after.map((part) => part.map(round));
  if (after === segmentation) return boxed;
  auditor.compare({
    id,
    before: before(),
    after: segmentationToRle(after, height, width, { annotationId: id }),
    kind: !isPolygons(segmentation) ? "rle" : segmentation.length > 1 ? "parts" : "polygon",
  });
  return { ...boxed, segmentation: after };
}

function ordered(annotation: CocoAnnotation): CocoAnnotation {
  const keys = new Set([...KEY_ORDER.filter((key) => key in annotation), ...Object.keys(annotation)]);
  return Object.fromEntries([...keys].map((key) => [key, annotation[key]])) as unknown as CocoAnnotation;
}

/** Ids from 1 in file order; categories keep the order of their ids, so class indices stay. */
function renumbered(dataset: CocoDataset): CocoDataset {
  const images = new Map(dataset.images.map((image, index) => [image.id, index + 1]));
  const sorted = dataset.categories.toSorted((a, b) => a.id - b.id);
  const categories = new Map(sorted.map((category, index) => [category.id, index + 1]));
  return {
    ...dataset,
    images: dataset.images.map((image) => ({ ...image, id: images.get(image.id)! })),
    categories: sorted.map((category) => ({ ...category, id: categories.get(category.id)! })),
    annotations: dataset.annotations.map((annotation, index) => ({
      ...annotation,
      id: index + 1,
      image_id: images.get(annotation.image_id) ?? -1,
      category_id: categories.get(annotation.category_id) ?? -1,
    })),
  };
}
