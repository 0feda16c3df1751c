import type { CocoAnnotation, CocoDataset, CocoImage, CocoSegmentation } from "../document.js";
import { EvalInputError } from "../errors.js";
import { segmentationGeometry } from "../geometry.js";
import { usableBbox, usableSegmentation } from "../presence.js";
import type { EvalCompat, IouType } from "./params.js";

/** Ground truth in file order, one column per field; only images and categories that are evaluated. */
export interface TruthTable {
  readonly count: number;
  readonly annotations: readonly CocoAnnotation[];
  /** Present for iouType segm. */
  readonly segmentations: readonly CocoSegmentation[];
  /** Positions in `params.imageIds` and `params.categoryIds`. */
  readonly imageRank: Int32Array;
  readonly categoryRank: Int32Array;
  /** The area field in pixels, completed where absent. */
  readonly area: Float64Array;
  /** `[x, y, width, height]` each; zeros for iouType segm, which derives boxes from the masks. */
  readonly boxes: Float64Array;
  readonly isCrowd: Uint8Array;
  /** Crowd, or without labelled keypoints, or (strict) `ignore` set. */
  readonly isIgnored: Uint8Array;
}

/**
 * Reads the ground truth. Absent box and area are derived as `completeDataset` does; annotations of unknown images take no part, as in
 * pycocotools, which never asks for their image.
 * @throws EvalInputError listing the annotations without the geometry that is compared; boxes are never taken as masks
 */
export function truthTable(input: {
  groundTruth: CocoDataset;
  images: ReadonlyMap<number, CocoImage>;
  imageRanks: ReadonlyMap<number, number>;
  categoryRanks: ReadonlyMap<number, number>;
  iouType: IouType;
  compat: EvalCompat;
  numKeypoints: number;
}): TruthTable {
  const { groundTruth, images, imageRanks, categoryRanks, iouType, compat, numKeypoints } = input;
  const size = groundTruth.annotations.length;
  const annotations: CocoAnnotation[] = [];
  const segmentations: CocoSegmentation[] = [];
  const imageRank = new Int32Array(size);
  const categoryRank = new Int32Array(size);
  const area = new Float64Array(size);
  const boxes = new Float64Array(4 * size);
  const isCrowd = new Uint8Array(size);
  const isIgnored = new Uint8Array(size);
  const bad: number[] = [];
  for (const annotation of groundTruth.annotations) {
    const image = imageRanks.get(annotation.image_id);
    const category = categoryRanks.get(annotation.category_id);
    if (image === undefined || category === undefined) continue;
    const box = usableBbox(annotation);
    const hasArea = Number.isFinite(annotation.area);
    const needsGeometry = iouType === "segm" || box === null || !hasArea;
    const segmentation = needsGeometry ? usableSegmentation(annotation) : null;
    const isMissing =
      iouType === "segm"
        ? segmentation === null
        : (box === null && segmentation === null) ||
          (iouType === "keypoints" && annotation.keypoints?.length !== 3 * numKeypoints);
    if (isMissing) {
      bad.push(annotation.id);
      continue;
    }
    const at = annotations.length;
    annotations.push(annotation);
    if (iouType === "segm") segmentations.push(segmentation!);
    imageRank[at] = image;
    categoryRank[at] = category;
    if (segmentation !== null && (!hasArea || (box === null && iouType !== "segm"))) {
      const { height, width } = images.get(annotation.image_id)!;
      const derived = segmentationGeometry(segmentation, height, width, { annotationId: annotation.id });
      area[at] = hasArea ? annotation.area! : derived.area;
      boxes.set(box ?? derived.bbox, 4 * at);
    } else {
      area[at] = hasArea ? annotation.area! : box![2] * box![3];
      if (box !== null) boxes.set(box, 4 * at);
    }
    isCrowd[at] = annotation.iscrowd === 1 ? 1 : 0;
    const isExplicit = compat === "strict" && Boolean(annotation["ignore"]);
    const isUnlabelled = iouType === "keypoints" && labelledKeypoints(annotation) === 0;
    isIgnored[at] = isCrowd[at] === 1 || isExplicit || isUnlabelled ? 1 : 0;
  }
  if (bad.length > 0) {
    throw new EvalInputError({
      subject: "ground-truth",
      ids: bad,
      message: `${bad.length} ground truth annotations have no usable ${iouType} geometry: ${bad.slice(0, 5).join(", ")}. Evaluate another iouType, or filter them out first; boxes are never taken as masks.`,
    });
  }
  return {
    count: annotations.length,
    annotations,
    segmentations,
    imageRank,
    categoryRank,
    area,
    boxes,
    isCrowd,
    isIgnored,
  };
}

function labelledKeypoints(annotation: CocoAnnotation): number {
  if (typeof annotation.num_keypoints === "number") return annotation.num_keypoints;
  return (annotation.keypoints ?? []).filter((value, i) => i % 3 === 2 && value > 0).length;
}
