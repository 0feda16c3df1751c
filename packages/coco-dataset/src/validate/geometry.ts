import { boxIou, xywhToXyxy } from "../boxes.js";
import type { CocoAnnotation, CocoDataset, CocoImage } from "../document.js";
import type { FindingFix } from "../findings.js";
import { segmentationGeometry } from "../geometry.js";
import { iou } from "../mask/iou.js";
import { maskTopology } from "../mask/topology.js";
import { isGenerated, isPolygons, usableBbox, usableSegmentation } from "../presence.js";
import { segmentationToRle } from "../segmentation.js";
import type { Box, BoxXywh } from "../types.js";
import { formatFindings } from "./box-format.js";
import { clipBox } from "./clip-box.js";
import { shapeFindings } from "./mask-shape.js";
import type { RawFinding } from "./raw-finding.js";
import { hasSelfIntersection } from "./self-intersection.js";
import type { HealthThresholds } from "./thresholds.js";

/** An annotation with its image and what its geometry says. */
export interface Item {
  readonly annotation: CocoAnnotation;
  readonly image: CocoImage;
  readonly box: BoxXywh | null;
  readonly isOwnBox: boolean;
  readonly mask: ReturnType<typeof segmentationGeometry> | null;
}

/** Geometry findings of the completed dataset; `broken` annotations are skipped. All are warnings. */
export function geometryFindings(
  dataset: CocoDataset,
  broken: ReadonlySet<number>,
  limits: HealthThresholds,
): RawFinding[] {
  const images = new Map(dataset.images.map((image) => [image.id, image]));
  const items: Item[] = [];
  dataset.annotations.forEach((annotation, index) => {
    const image = images.get(annotation.image_id);
    if (image === undefined || broken.has(index)) return;
    const segmentation = usableSegmentation(annotation);
    items.push({
      annotation,
      image,
      box: usableBbox(annotation),
      isOwnBox: !isGenerated(annotation, "bbox"),
      mask: segmentation === null ? null : segmentationGeometry(segmentation, image.height, image.width),
    });
  });
  const findings: RawFinding[] = [];
  const warn = (code: string, message: string, ids: readonly number[], fix?: FindingFix) => {
    if (ids.length > 0) findings.push({ code, severity: "warn", layer: "geometry", message, ids, ...(fix && { fix }) });
  };
  const idsWhere = (test: (item: Item) => boolean) => items.filter(test).map((item) => item.annotation.id);

  warn("negative_wh", "A box has negative width or height", idsWhere(hasNegativeSide), {
    kind: "flip-box",
    safe: false,
  });
  warn("zero_area", "A box or mask has no area and cannot be learned", idsWhere(hasZeroArea), {
    kind: "drop-annotation",
    safe: true,
  });
  const otherFormat = formatFindings(items, limits);
  const outside = items.filter((item) => isBoxOutside(item, limits));
  const kept = mean(outside.map(({ box, image }) => clippedIou(box!, image)));
  warn(
    "bbox_oob",
    `A box leaves its image (clipping keeps ${(100 * kept).toFixed(1)} % of it in the mean)`,
    outside.map((item) => item.annotation.id),
    // Boxes of another format must be converted, not clipped.
    { kind: "clip-box", safe: otherFormat.length === 0 },
  );
  warn(
    "polygon_oob",
    "A polygon leaves its image; rasterising clips it",
    idsWhere((item) => isPolygonOutside(item, limits)),
  );
  warn(
    "self_intersection",
    "A polygon crosses itself; the crossed part counts as outside (even-odd)",
    idsWhere((item) => partsOf(item).some(hasSelfIntersection)),
  );
  warn(
    "bbox_vs_segmentation",
    `A box does not enclose its segmentation (IoU < ${limits.boxMaskMinIou} or an edge off by more than ${limits.boxMaskMaxPixels} px)`,
    idsWhere((item) => isBoxOffMask(item, limits)),
    { kind: "recompute-box", safe: false },
  );
  warn(
    "area_vs_segmentation",
    `area differs by more than ${100 * limits.areaTolerance} % from the segmentation`,
    idsWhere((item) => isAreaOff(item, limits)),
    { kind: "recompute-area", safe: false },
  );
  warn(
    "tiny",
    `A box is smaller than ${limits.tinyArea} square pixels`,
    idsWhere(({ box }) => box !== null && box[2] > 0 && box[3] > 0 && box[2] * box[3] < limits.tinyArea),
  );
  warn(
    "extreme_aspect",
    `A box is more than ${limits.extremeAspect} times as long as wide`,
    idsWhere(({ box }) => box !== null && Math.min(box[2], box[3]) > 0 && aspect(box) > limits.extremeAspect),
  );
  warn(
    "whole_image_box",
    "A box covers the whole image: a label of the image, not of an object?",
    idsWhere(({ box, image }) => box !== null && coverage(box, image) >= limits.wholeImage),
  );
  const twins = duplicates(items, limits);
  warn(
    "duplicate_annotation",
    `The same object is annotated twice (same class, IoU > ${limits.duplicateIou})`,
    twins.sameClass,
    { kind: "drop-annotation", safe: false },
  );
  warn(
    "cross_class_duplicate",
    `The same object is annotated as two classes (IoU > ${limits.duplicateIou})`,
    twins.crossClass,
  );
  findings.push(...otherFormat, ...shapeFindings(items, limits));
  findings.push(...crowdFindings(items, limits), ...boxLikeMasks(items, limits));
  return findings;
}

const hasNegativeSide = ({ box }: Item) => box !== null && (box[2] < 0 || box[3] < 0);

function hasZeroArea(item: Item): boolean {
  if (hasNegativeSide(item)) return false;
  if (item.box !== null && (item.box[2] === 0 || item.box[3] === 0)) return true;
  return item.mask !== null && item.mask.area === 0;
}

function isBoxOutside({ box, image, isOwnBox }: Item, { boundsTolerance: slack }: HealthThresholds): boolean {
  if (box === null || !isOwnBox) return false;
  const [x1, y1, x2, y2] = xywhToXyxy(box);
  return x1 < -slack || y1 < -slack || x2 > image.width + slack || y2 > image.height + slack;
}

/** IoU of a box with what lies inside its image. */
function clippedIou(box: BoxXywh, image: CocoImage): number {
  return boxIou(xywhToXyxy(box), xywhToXyxy(clipBox(box, image)));
}

function partsOf({ annotation }: Item): readonly (readonly number[])[] {
  const segmentation = usableSegmentation(annotation);
  return segmentation !== null && isPolygons(segmentation) ? segmentation : [];
}

function isPolygonOutside(item: Item, { boundsTolerance: slack }: HealthThresholds): boolean {
  const { width, height } = item.image;
  return partsOf(item).some((part) =>
    part.some((value, i) => value < -slack || value > (i % 2 === 0 ? width : height) + slack),
  );
}

/** Official crowd boxes and areas legitimately differ from their masks. */
function isBoxOffMask({ annotation, image, box, mask, isOwnBox }: Item, limits: HealthThresholds): boolean {
  if (annotation.iscrowd === 1 || box === null || mask === null || !isOwnBox || mask.area === 0) return false;
  const own = xywhToXyxy(box);
  // Of a polygon that leaves the image, a box that follows and one that ends at the border are both right.
  return [mask.bbox, clipBox(mask.bbox, image)].every((derived) => {
    const other = xywhToXyxy(derived);
    return (
      boxIou(own, other) < limits.boxMaskMinIou ||
      own.some((value, i) => Math.abs(value - other[i]!) > limits.boxMaskMaxPixels)
    );
  });
}

function isAreaOff({ annotation, mask }: Item, { areaTolerance }: HealthThresholds): boolean {
  if (annotation.iscrowd === 1 || mask === null || mask.area === 0 || isGenerated(annotation, "area")) return false;
  return Math.abs((annotation.area ?? 0) - mask.area) > areaTolerance * mask.area;
}

const aspect = ([, , w, h]: BoxXywh) => Math.max(w / h, h / w);
const coverage = ([x, y, w, h]: BoxXywh, { width, height }: CocoImage) =>
  boxIou([x, y, x + w, y + h], [0, 0, width, height]);
const mean = (values: readonly number[]) =>
  values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length;

/** Pairs of equal objects of an image, found by a sweep over x; the later id of each pair. */
function duplicates(
  items: readonly Item[],
  { duplicateIou }: HealthThresholds,
): { sameClass: number[]; crossClass: number[] } {
  const groups = new Map<number, { item: Item; box: Box }[]>();
  for (const item of items) {
    if (item.box === null || item.box[2] <= 0 || item.box[3] <= 0) continue;
    const entry = { item, box: xywhToXyxy(item.box) };
    const list = groups.get(item.annotation.image_id);
    if (list === undefined) groups.set(item.annotation.image_id, [entry]);
    else list.push(entry);
  }
  const sameClass = new Set<number>();
  const crossClass = new Set<number>();
  for (const group of groups.values()) {
    const sorted = group.toSorted((a, b) => a.box[0] - b.box[0]);
    for (let i = 0; i < sorted.length; i++) {
      const a = sorted[i]!;
      // IoU > t needs left edges closer than 1 - t of the wider box's width, which is at most 1 / t of this one's.
      const reach = a.box[0] + ((1 - duplicateIou) / duplicateIou) * (a.box[2] - a.box[0]);
      for (let j = i + 1; j < sorted.length && sorted[j]!.box[0] <= reach; j++) {
        const b = sorted[j]!;
        if (!(boxIou(a.box, b.box) > duplicateIou && areMasksAlike(a.item, b.item, duplicateIou))) continue;
        const isSame = a.item.annotation.category_id === b.item.annotation.category_id;
        (isSame ? sameClass : crossClass).add(Math.max(a.item.annotation.id, b.item.annotation.id));
      }
    }
  }
  const ascending = (ids: Set<number>) => [...ids].sort((a, b) => a - b);
  return { sameClass: ascending(sameClass), crossClass: ascending(crossClass) };
}

/** Two objects may share a box; with two masks the masks decide. */
function areMasksAlike(a: Item, b: Item, minimum: number): boolean {
  if (a.mask === null || b.mask === null) return true;
  const rle = ({ annotation, image }: Item) =>
    segmentationToRle(usableSegmentation(annotation)!, image.height, image.width, { annotationId: annotation.id });
  return iou([rle(a)], [rle(b)])[0]! > minimum;
}

/** `iscrowd` on what looks like one object: trainers and evaluators then drop it. */
function crowdFindings(items: readonly Item[], { crowdShare }: HealthThresholds): RawFinding[] {
  const crowds = items.filter((item) => item.annotation.iscrowd === 1);
  const isFrequent = crowds.length > crowdShare * items.length;
  const single = crowds.filter(isSingleComponent).map((item) => item.annotation.id);
  const singles = new Set(single);
  const others = isFrequent ? crowds.map((item) => item.annotation.id).filter((id) => !singles.has(id)) : [];
  const share = `${crowds.length} of ${items.length} annotations are crowds`;
  const finding = (message: string, ids: readonly number[], safe: boolean): RawFinding => ({
    code: "suspicious_iscrowd",
    severity: "warn",
    layer: "geometry",
    message,
    ids,
    fix: { kind: "set-iscrowd-0", safe },
  });
  return [
    ...(single.length > 0
      ? [finding(`${share}; these look like single objects, which training then ignores`, single, true)]
      : []),
    ...(others.length > 0
      ? [finding(`${share}, more than ${100 * crowdShare} %: an exporter may have set the flag`, others, false)]
      : []),
  ];
}

function isSingleComponent({ annotation, image }: Item): boolean {
  const segmentation = usableSegmentation(annotation);
  if (segmentation === null) return false;
  if (isPolygons(segmentation)) return true;
  return maskTopology(segmentationToRle(segmentation, image.height, image.width)).components === 1;
}

/** A mask as large as its bounding box is that box. */
function boxLikeMasks(items: readonly Item[], { boxLikeShare }: HealthThresholds): RawFinding[] {
  const masks = items.filter((item) => item.mask !== null && item.annotation.iscrowd !== 1);
  const rectangles = masks.filter(({ mask }) => {
    const boxArea = mask!.bbox[2] * mask!.bbox[3];
    return boxArea > 0 && Math.abs(mask!.area - boxArea) <= 1e-6 * boxArea;
  });
  if (masks.length === 0 || rectangles.length < boxLikeShare * masks.length) return [];
  return [
    {
      code: "masks_are_boxes",
      severity: "warn",
      layer: "geometry",
      message: `${rectangles.length} of ${masks.length} masks are their own bounding boxes: train as detection, such masks teach no outline`,
      ids: rectangles.map((item) => item.annotation.id),
    },
  ];
}
