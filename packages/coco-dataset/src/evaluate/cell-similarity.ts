import type { CocoImage } from "../document.js";
import { nameAnnotation } from "../errors.js";
import { appendSegmentation } from "../mask/append-segmentation.js";
import { RunBuffer } from "../mask/run-buffer.js";
import { areaOfRuns, bboxOfRuns, intersectionOfRuns } from "../mask/runs.js";
import { usableBbox, usableSegmentation } from "../presence.js";
import { type DetectionTable, namingRow } from "./detection-table.js";
import { objectKeypointSimilarity } from "./oks.js";
import type { IouType, ResolvedEvalParams } from "./params.js";
import type { TruthTable } from "./truth-table.js";

/** Positions in the tables of what meets in one image and category. */
export interface Cell {
  readonly truths: Int32Array;
  readonly detections: Int32Array;
}

/** Fills `out[d * truths + g]`; for masks also the detections' areas that were not known yet. */
export type CellSimilarity = (cell: Cell, out: Float64Array) => void;

/**
 * The similarity of every detection with every ground truth of a cell: box IoU, mask IoU or OKS. Crowd denominators are the detection's
 * own area.
 */
export function cellSimilarity(input: {
  truths: TruthTable;
  detections: DetectionTable;
  images: ReadonlyMap<number, CocoImage>;
  params: Pick<ResolvedEvalParams, "iouThresholds" | "keypointSigmas">;
  iouType: IouType;
  /** Added to denominators. @defaultValue 0 */
  epsilon?: number;
}): CellSimilarity {
  const { truths, detections, params, iouType, epsilon = 0 } = input;
  if (iouType === "segm") return maskSimilarity({ ...input, epsilon });
  if (iouType === "bbox") {
    return (cell, out) => boxSimilarity(cell, truths, detections, epsilon, out);
  }
  return (cell, out) => {
    cell.detections.forEach((d, row) => {
      cell.truths.forEach((g, column) => {
        out[row * cell.truths.length + column] = objectKeypointSimilarity({
          truth: truths.annotations[g]!.keypoints!,
          detection: detections.rows[d]!.keypoints!,
          bbox: truths.boxes.subarray(4 * g, 4 * g + 4),
          area: truths.area[g]!,
          sigmas: params.keypointSigmas,
        });
      });
    });
  };
}

function boxSimilarity(
  cell: Cell,
  truths: TruthTable,
  detections: DetectionTable,
  epsilon: number,
  out: Float64Array,
): void {
  const columns = cell.truths.length;
  for (let column = 0; column < columns; column++) {
    const g = cell.truths[column]!;
    for (let row = 0; row < cell.detections.length; row++) {
      const d = cell.detections[row]!;
      const isCrowd = truths.isCrowd[g] === 1;
      out[row * columns + column] = boxPairIou(detections.boxes, 4 * d, truths.boxes, 4 * g, isCrowd, epsilon);
    }
  }
}

/** COCO's box IoU of `[x, y, width, height]` at two places; no "+1". */
function boxPairIou(a: Float64Array, i: number, b: Float64Array, j: number, isCrowd: boolean, epsilon: number): number {
  const [ax, ay, aw, ah] = [a[i]!, a[i + 1]!, a[i + 2]!, a[i + 3]!];
  const [bx, by, bw, bh] = [b[j]!, b[j + 1]!, b[j + 2]!, b[j + 3]!];
  const width = Math.min(aw + ax, bw + bx) - Math.max(ax, bx);
  if (!(width > 0)) return 0;
  const height = Math.min(ah + ay, bh + by) - Math.max(ay, by);
  if (!(height > 0)) return 0;
  const intersection = width * height;
  return intersection / ((isCrowd ? aw * ah : aw * ah + bw * bh - intersection) + epsilon);
}

/** Masks live as runs for the time of one cell only. */
function maskSimilarity(input: {
  truths: TruthTable;
  detections: DetectionTable;
  images: ReadonlyMap<number, CocoImage>;
  params: Pick<ResolvedEvalParams, "iouThresholds">;
  epsilon: number;
}): CellSimilarity {
  const { truths, detections, images, params, epsilon } = input;
  const floor = Math.min(...params.iouThresholds);
  const buffer = new RunBuffer(1 << 16);
  let ends = new Int32Array(64);
  let boxes = new Float64Array(256);
  let areas = new Float64Array(64);
  return (cell, out) => {
    const numTruths = cell.truths.length;
    const numMasks = numTruths + cell.detections.length;
    if (numMasks > ends.length) {
      ends = new Int32Array(2 * numMasks);
      boxes = new Float64Array(8 * numMasks);
      areas = new Float64Array(2 * numMasks);
    }
    buffer.length = 0;
    const close = (at: number, height: number) => {
      const start = at === 0 ? 0 : ends[at - 1]!;
      ends[at] = buffer.length;
      areas[at] = areaOfRuns(buffer.data, start, buffer.length);
      bboxOfRuns(buffer.data, start, buffer.length, height, boxes, 4 * at);
    };
    for (let column = 0; column < numTruths; column++) {
      const g = cell.truths[column]!;
      const { id, image_id } = truths.annotations[g]!;
      const { height, width } = images.get(image_id)!;
      try {
        appendSegmentation(buffer, truths.segmentations[g]!, height, width);
      } catch (error) {
        throw nameAnnotation(error, id);
      }
      close(column, height);
    }
    for (let row = 0; row < cell.detections.length; row++) {
      const d = cell.detections[row]!;
      const detection = detections.rows[d]!;
      const { height, width } = images.get(detection.image_id)!;
      const segmentation = usableSegmentation(detection) ?? [rectangle(usableBbox(detection)!)];
      namingRow(d, () => appendSegmentation(buffer, segmentation, height, width));
      close(numTruths + row, height);
      if (Number.isNaN(detections.area[d]!)) detections.area[d] = areas[numTruths + row]!;
    }
    for (let row = 0; row < cell.detections.length; row++) {
      const at = numTruths + row;
      for (let column = 0; column < numTruths; column++) {
        const isCrowd = truths.isCrowd[cell.truths[column]!] === 1;
        const place = row * numTruths + column;
        out[place] = 0;
        if (!(boxPairIou(boxes, 4 * at, boxes, 4 * column, isCrowd, 0) > 0)) continue;
        if (upperBound(at, column, isCrowd) < floor) continue;
        const start = at === 0 ? 0 : ends[at - 1]!;
        const truthStart = column === 0 ? 0 : ends[column - 1]!;
        const common = intersectionOfRuns(buffer.data, start, ends[at]!, buffer.data, truthStart, ends[column]!);
        if (common > 0) out[place] = common / ((isCrowd ? areas[at]! : areas[at]! + areas[column]! - common) + epsilon);
      }
    }
  };

  /** No IoU exceeds this: the intersection fits into the boxes' and into each mask. Values below every threshold match nothing. */
  function upperBound(a: number, b: number, isCrowd: boolean): number {
    const width =
      Math.min(boxes[4 * a]! + boxes[4 * a + 2]!, boxes[4 * b]! + boxes[4 * b + 2]!) -
      Math.max(boxes[4 * a]!, boxes[4 * b]!);
    const height =
      Math.min(boxes[4 * a + 1]! + boxes[4 * a + 3]!, boxes[4 * b + 1]! + boxes[4 * b + 3]!) -
      Math.max(boxes[4 * a + 1]!, boxes[4 * b + 1]!);
    const common = Math.min(width * height, areas[a]!, areas[b]!);
    return common / (isCrowd ? areas[a]! : areas[a]! + areas[b]! - common);
  }
}

function rectangle([x, y, width, height]: readonly [number, number, number, number]): number[] {
  return [x, y, x, y + height, x + width, y + height, x + width, y];
}
