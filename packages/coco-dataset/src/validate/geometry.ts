import { boxIou, xywhToXyxy } from "../boxes.js";
import type { CocoAnnotation, CocoDataset, CocoImage } from "../document.js";
import type { FindingFix } from "../findings.js";
import { segmentationGeometry } from "../geometry.js";
import { iou } from "../mask/iou.js";
import { toPolygons } from "../mask/to-polygons.js";
import { isGenerated, isPolygons, usableBbox, usableSegmentation } from "../presence.js";
import { segmentationToRle } from "../segmentation.js";
import type { Box, BoxXywh } from "../types.js";
import type { RawFinding } from "./raw-finding.js";

/** COCO files hold two decimals: a sum of two may leave the image by that much. */
const BOUNDS_TOLERANCE_PX = 0.011;
/** A box this far from its segmentation is another box (spec: IoU < 0.9 or > 2 px). */
const BOX_MASK_MIN_IOU = 0.9;
const BOX_MASK_MAX_PX = 2;
const AREA_TOLERANCE = 0.05;
const TINY_AREA_PX = 4;
const DUPLICATE_IOU = 0.95;
/** More crowds than this share means that an exporter set the flag. */
const CROWD_SHARE = 0.05;
const BOX_LIKE_SHARE = 0.95;

interface Item {
  readonly annotation: CocoAnnotation;
  readonly image: CocoImage;
  readonly box: BoxXywh | null;
  readonly isOwnBox: boolean;
  readonly mask: ReturnType<typeof segmentationGeometry> | null;
}

/** Geometry findings of the completed dataset; `broken` annotations are skipped. All are warnings. */
export function geometryFindings(dataset: CocoDataset, broken: ReadonlySet<number>): RawFinding[] {
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
  warn("bbox_oob", "A box leaves its image", idsWhere(isBoxOutside), { kind: "clip-box", safe: true });
  warn("polygon_oob", "A polygon leaves its image; rasterising clips it", idsWhere(isPolygonOutside));
  warn(
    "bbox_vs_segmentation",
    "A box does not enclose its segmentation (IoU < 0.9 or an edge off by more than 2 px)",
    idsWhere(isBoxOffMask),
  );
  warn("area_vs_segmentation", "area differs by more than 5 % from the segmentation", idsWhere(isAreaOff));
  warn("tiny", `A box is smaller than ${TINY_AREA_PX} square pixels`, idsWhere(isTiny));
  warn("duplicate_annotation", "The same object is annotated twice (same class, IoU > 0.95)", duplicates(items), {
    kind: "drop-annotation",
    safe: false,
  });
  const boxes = items.filter((item) => item.box !== null && item.isOwnBox);
  const isNormalised = boxes.length > 0 && boxes.every(({ box }) => box!.every((value) => value >= 0 && value <= 1));
  if (isNormalised) {
    warn(
      "bbox_normalised_suspected",
      "All box numbers lie in [0, 1]: normalised, where COCO has pixels",
      idsWhere((i) => i.box !== null),
    );
  }
  const likelyCorners = boxes.filter(looksLikeCorners);
  // One such box is an out-of-bounds box; a fifth of all is another format.
  if (likelyCorners.length > boxes.length / 5) {
    warn(
      "bbox_xyxy_suspected",
      "Many boxes leave the image and would fit as [x1, y1, x2, y2]",
      likelyCorners.map((i) => i.annotation.id),
    );
  }
  findings.push(...crowdFindings(items), ...boxLikeMasks(items));
  return findings;
}

const hasNegativeSide = ({ box }: Item) => box !== null && (box[2] < 0 || box[3] < 0);

function hasZeroArea(item: Item): boolean {
  if (hasNegativeSide(item)) return false;
  if (item.box !== null && (item.box[2] === 0 || item.box[3] === 0)) return true;
  return item.mask !== null && item.mask.area === 0;
}

function isBoxOutside({ box, image, isOwnBox }: Item): boolean {
  if (box === null || !isOwnBox) return false;
  const [x1, y1, x2, y2] = xywhToXyxy(box);
  const slack = BOUNDS_TOLERANCE_PX;
  return x1 < -slack || y1 < -slack || x2 > image.width + slack || y2 > image.height + slack;
}

function isPolygonOutside({ annotation, image }: Item): boolean {
  const segmentation = usableSegmentation(annotation);
  if (segmentation === null || !isPolygons(segmentation)) return false;
  const slack = BOUNDS_TOLERANCE_PX;
  return segmentation.some((part) =>
    part.some((value, i) => value < -slack || value > (i % 2 === 0 ? image.width : image.height) + slack),
  );
}

/** Official crowd boxes and areas legitimately differ from their masks. */
function isBoxOffMask({ annotation, box, mask, isOwnBox }: Item): boolean {
  if (annotation.iscrowd === 1 || box === null || mask === null || !isOwnBox || mask.area === 0) return false;
  const a = xywhToXyxy(box);
  const b = xywhToXyxy(mask.bbox);
  return boxIou(a, b) < BOX_MASK_MIN_IOU || a.some((value, i) => Math.abs(value - b[i]!) > BOX_MASK_MAX_PX);
}

function isAreaOff({ annotation, mask }: Item): boolean {
  if (annotation.iscrowd === 1 || mask === null || mask.area === 0 || isGenerated(annotation, "area")) return false;
  return Math.abs((annotation.area ?? 0) - mask.area) > AREA_TOLERANCE * mask.area;
}

function isTiny({ box }: Item): boolean {
  return box !== null && box[2] > 0 && box[3] > 0 && box[2] * box[3] < TINY_AREA_PX;
}

function looksLikeCorners({ box, image }: Item): boolean {
  const [x, y, w, h] = box!;
  return (x + w > image.width || y + h > image.height) && w > x && h > y && w <= image.width && h <= image.height;
}

/** Later ones of the pairs, by a sweep over x within image and class. */
function duplicates(items: readonly Item[]): number[] {
  const groups = new Map<string, { item: Item; box: Box }[]>();
  for (const item of items) {
    if (item.box === null || item.box[2] <= 0 || item.box[3] <= 0) continue;
    const key = `${item.annotation.image_id}/${item.annotation.category_id}`;
    const entry = { item, box: xywhToXyxy(item.box) };
    const list = groups.get(key);
    if (list === undefined) groups.set(key, [entry]);
    else list.push(entry);
  }
  const found = new Set<number>();
  for (const group of groups.values()) {
    const sorted = group.toSorted((a, b) => a.box[0] - b.box[0]);
    for (let i = 0; i < sorted.length; i++) {
      const a = sorted[i]!;
      // IoU > 0.95 needs left edges closer than 5 % of the wider box's width.
      const reach = a.box[0] + (1 - DUPLICATE_IOU) * 2 * (a.box[2] - a.box[0]);
      for (let j = i + 1; j < sorted.length && sorted[j]!.box[0] <= reach; j++) {
        const b = sorted[j]!;
        if (boxIou(a.box, b.box) > DUPLICATE_IOU && areMasksAlike(a.item, b.item)) {
          found.add(Math.max(a.item.annotation.id, b.item.annotation.id));
        }
      }
    }
  }
  return [...found].sort((a, b) => a - b);
}

/** Two objects may share a box; with two masks the masks decide. */
function areMasksAlike(a: Item, b: Item): boolean {
  if (a.mask === null || b.mask === null) return true;
  const rle = ({ annotation, image }: Item) =>
    segmentationToRle(usableSegmentation(annotation)!, image.height, image.width, { annotationId: annotation.id });
  return iou([rle(a)], [rle(b)])[0]! > DUPLICATE_IOU;
}

/** `iscrowd` on what looks like one object: trainers and evaluators then drop it. */
function crowdFindings(items: readonly Item[]): RawFinding[] {
  const crowds = items.filter((item) => item.annotation.iscrowd === 1);
  const isFrequent = crowds.length > CROWD_SHARE * items.length;
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
      ? [finding(`${share}, more than 5 %: an exporter may have set the flag`, others, false)]
      : []),
  ];
}

function isSingleComponent({ annotation, image }: Item): boolean {
  const segmentation = usableSegmentation(annotation);
  if (segmentation === null) return false;
  if (isPolygons(segmentation)) return true;
  return toPolygons(segmentationToRle(segmentation, image.height, image.width)).length === 1;
}

/** A mask as large as its bounding box is that box. */
function boxLikeMasks(items: readonly Item[]): RawFinding[] {
  const masks = items.filter((item) => item.mask !== null && item.annotation.iscrowd !== 1);
  const rectangles = masks.filter(({ mask }) => {
    const boxArea = mask!.bbox[2] * mask!.bbox[3];
    return boxArea > 0 && Math.abs(mask!.area - boxArea) <= 1e-6 * boxArea;
  });
  if (masks.length === 0 || rectangles.length < BOX_LIKE_SHARE * masks.length) return [];
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
