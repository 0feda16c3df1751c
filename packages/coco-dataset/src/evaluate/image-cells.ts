import type { CocoDataset, CocoResult } from "../document.js";
import { type Cell, cellSimilarity } from "./cell-similarity.js";
import { type DetectionTable, detectionTable } from "./detection-table.js";
import { type IouType, resolveParams } from "./params.js";
import { rankOf } from "./run-evaluation.js";
import { byFallingScore, byRank, identityOrder } from "./stable-order.js";
import { type TruthTable, truthTable } from "./truth-table.js";

/** Everything of one image, classes together. */
export interface ImageCell extends Cell {
  readonly imageId: number;
  /** `detections x truths`, valid until the next cell is read. IoUs below the floor may read 0. */
  readonly ious: Float64Array;
}

/** Tables of all images and categories, and the images that hold anything, ids ascending. */
export interface ImageCells {
  readonly truths: TruthTable;
  readonly detections: DetectionTable;
  /** Class index -> category id, ascending. */
  readonly categoryIds: readonly number[];
  readonly categoryNames: readonly string[];
  /** Within an image truths are in file order, detections by falling score (ties in file order). */
  cells(): Generator<ImageCell>;
}

/**
 * Ground truth and detections image by image, for the metrics that look across classes.
 *
 * @param input.floor - IoU below which a pair does not matter
 * @param input.epsilon - added to the union
 * @param input.dropCrowd - leave crowd regions out
 * @throws EvalInputError as `evaluate`
 */
export function imageCells(input: {
  groundTruth: CocoDataset;
  detections: readonly CocoResult[];
  iouType: Exclude<IouType, "keypoints">;
  floor: number;
  epsilon?: number;
  dropCrowd?: boolean;
}): ImageCells {
  const { groundTruth, iouType, floor, epsilon = 0, dropCrowd = false } = input;
  const images = new Map(groundTruth.images.map((image) => [image.id, image]));
  const names = new Map(groundTruth.categories.map((category) => [category.id, category.name]));
  const params = resolveParams({
    params: { iouThresholds: [floor] },
    iouType,
    imageIds: [...images.keys()],
    categoryIds: [...names.keys()],
  });
  const tables = {
    images,
    imageRanks: rankOf(params.imageIds),
    categoryRanks: rankOf(params.categoryIds),
    iouType,
    compat: "pycocotools",
    numKeypoints: 0,
  } as const;
  const annotations = dropCrowd
    ? groundTruth.annotations.filter((annotation) => annotation.iscrowd !== 1)
    : groundTruth.annotations;
  const truths = truthTable({ groundTruth: { ...groundTruth, annotations }, ...tables });
  const detections = detectionTable({
    detections: input.detections,
    categories: new Set(params.categoryIds),
    ...tables,
  });
  const similarity = cellSimilarity({ truths, detections, images, params, iouType, epsilon });
  const numImages = params.imageIds.length;
  function* cells(): Generator<ImageCell> {
    const truthOrder = byRank(identityOrder(truths.count), truths.imageRank, numImages);
    const ranked = byFallingScore(identityOrder(detections.count), detections.score);
    const detectionOrder = byRank(ranked, detections.imageRank, numImages);
    let ious = new Float64Array(256);
    let g = 0;
    let d = 0;
    for (let image = 0; image < numImages; image++) {
      const [truthStart, detectionStart] = [g, d];
      while (g < truthOrder.length && truths.imageRank[truthOrder[g]!] === image) g++;
      while (d < detectionOrder.length && detections.imageRank[detectionOrder[d]!] === image) d++;
      if (g === truthStart && d === detectionStart) continue;
      const cell = {
        truths: truthOrder.subarray(truthStart, g),
        detections: detectionOrder.subarray(detectionStart, d),
      };
      const size = cell.truths.length * cell.detections.length;
      if (ious.length < size) ious = new Float64Array(2 * size);
      similarity(cell, ious);
      yield { ...cell, imageId: params.imageIds[image]!, ious };
    }
  }
  return {
    truths,
    detections,
    categoryIds: params.categoryIds,
    categoryNames: params.categoryIds.map((id) => names.get(id) ?? String(id)),
    cells,
  };
}
