import type { CocoImage, CocoResult } from "../document.js";
import { CocoError, EvalInputError } from "../errors.js";
import { area as rleArea, toBbox } from "../mask/rle.js";
import { usableBbox, usableSegmentation } from "../presence.js";
import { segmentationToRle } from "../segmentation.js";
import type { EvalCompat, IouType } from "./params.js";

/** Detections in file order, one column per field. */
export interface DetectionTable {
  readonly count: number;
  readonly rows: readonly CocoResult[];
  /** Positions in `params.imageIds` and `params.categoryIds`, -1 where not evaluated. */
  readonly imageRank: Int32Array;
  readonly categoryRank: Int32Array;
  readonly score: Float64Array;
  /** Pixels; NaN where it is the mask's, which is counted when the mask is decoded. */
  readonly area: Float64Array;
  /** `[x, y, width, height]` each; empty for iouType segm. */
  readonly boxes: Float64Array;
  /** Detections that count as ignored instead of false when nothing matches them (LVIS); absent: none. */
  readonly isIgnoredUnmatched?: Uint8Array;
}

const BBOX = 1;
const SEGMENTATION = 2;
const KEYPOINTS = 4;

/**
 * Reads results as pycocotools' loadRes does: a box is derived from a mask, a mask from a box (its rectangle).
 * @throws EvalInputError naming the rows (from 0)
 */
export function detectionTable(input: {
  detections: readonly CocoResult[];
  images: ReadonlyMap<number, CocoImage>;
  categories: ReadonlySet<number>;
  imageRanks: ReadonlyMap<number, number>;
  categoryRanks: ReadonlyMap<number, number>;
  iouType: IouType;
  compat: EvalCompat;
  numKeypoints: number;
}): DetectionTable {
  const { detections, images, imageRanks, categoryRanks, iouType, compat, numKeypoints } = input;
  checkRows(input);
  const count = detections.length;
  const imageRank = new Int32Array(count);
  const categoryRank = new Int32Array(count);
  const score = new Float64Array(count);
  const area = new Float64Array(count);
  const boxes = new Float64Array(iouType === "segm" ? 0 : 4 * count);
  for (let row = 0; row < count; row++) {
    const detection = detections[row]!;
    imageRank[row] = imageRanks.get(detection.image_id) ?? -1;
    categoryRank[row] = categoryRanks.get(detection.category_id) ?? -1;
    score[row] = detection.score;
    const box = usableBbox(detection);
    if (iouType === "segm") {
      const takesMaskArea = box === null || (compat === "strict" && usableSegmentation(detection) !== null);
      area[row] = takesMaskArea ? Number.NaN : box[2] * box[3];
      continue;
    }
    if (box !== null) {
      area[row] = box[2] * box[3];
      boxes.set(box, 4 * row);
      if (iouType === "keypoints") checkKeypoints(detection, row, numKeypoints);
      continue;
    }
    if (iouType === "keypoints") {
      checkKeypoints(detection, row, numKeypoints);
      const derived = keypointBox(detection.keypoints!);
      area[row] = derived[2]! * derived[3]!;
      boxes.set(derived, 4 * row);
      continue;
    }
    const { height, width } = images.get(detection.image_id)!;
    const rle = namingRow(row, () => segmentationToRle(usableSegmentation(detection)!, height, width));
    area[row] = rleArea(rle);
    boxes.set(toBbox(rle), 4 * row);
  }
  return { count, rows: detections, imageRank, categoryRank, score, area, boxes };
}

/** Runs `read`; an error about the mask becomes one about the row. */
export function namingRow<T>(row: number, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof CocoError)) throw error;
    throw new EvalInputError({ subject: "detections", ids: [row], message: `Detection row ${row}: ${error.message}` });
  }
}

function checkRows(input: {
  detections: readonly CocoResult[];
  images: ReadonlyMap<number, CocoImage>;
  categories: ReadonlySet<number>;
  iouType: IouType;
}): void {
  const { detections, images, categories, iouType } = input;
  const problems = {
    "name an image that the ground truth does not have": [] as number[],
    "name a category that the ground truth does not have": [] as number[],
    "have a score that is not a finite number": [] as number[],
    [`do not hold the same fields as row 0`]: [] as number[],
  };
  const [noImage, noCategory, noScore, otherShape] = Object.values(problems) as [
    number[],
    number[],
    number[],
    number[],
  ];
  let shape = 0;
  detections.forEach((detection, row) => {
    if (!images.has(detection.image_id)) noImage.push(row);
    if (!categories.has(detection.category_id)) noCategory.push(row);
    if (!Number.isFinite(detection.score)) noScore.push(row);
    const own = rowShape(detection);
    if (row === 0) shape = own;
    else if (own !== shape) otherShape.push(row);
  });
  for (const [what, rows] of Object.entries(problems)) fail(rows, what);
  if (detections.length === 0) return;
  const isFit = iouType === "keypoints" ? (shape & KEYPOINTS) !== 0 : (shape & (BBOX | SEGMENTATION)) !== 0;
  const needed = iouType === "keypoints" ? "keypoints" : "bbox or segmentation";
  if (!isFit) fail([0], `have no ${needed}, which iouType ${iouType} compares`);
}

function fail(rows: readonly number[], what: string): void {
  if (rows.length === 0) return;
  throw new EvalInputError({
    subject: "detections",
    ids: rows,
    message: `${rows.length} detections ${what}: rows ${rows.slice(0, 5).join(", ")}${rows.length > 5 ? ", ..." : ""} (from 0).`,
  });
}

function rowShape(row: CocoResult): number {
  return (
    (usableBbox(row) === null ? 0 : BBOX) |
    (usableSegmentation(row) === null ? 0 : SEGMENTATION) |
    (Array.isArray(row.keypoints) ? KEYPOINTS : 0)
  );
}

function checkKeypoints({ keypoints }: CocoResult, row: number, numKeypoints: number): void {
  if (keypoints?.length === 3 * numKeypoints && keypoints.every(Number.isFinite)) return;
  throw new EvalInputError({
    subject: "detections",
    ids: [row],
    message: `Detection row ${row}: keypoints has ${keypoints?.length} numbers, expected ${3 * numKeypoints} finite ones.`,
  });
}

function keypointBox(keypoints: readonly number[]): number[] {
  const xs = keypoints.filter((_, i) => i % 3 === 0);
  const ys = keypoints.filter((_, i) => i % 3 === 1);
  const left = Math.min(...xs);
  const top = Math.min(...ys);
  return [left, top, Math.max(...xs) - left, Math.max(...ys) - top];
}
