import { RleError } from "../errors.js";
import type { BoxXywh, Rle } from "../types.js";
import { area, toBbox } from "./rle.js";
import { intersectionOfRuns } from "./runs.js";

/**
 * COCO's box IoU of every detection with every ground truth: no "+1", crowd denominators are the detection's own area.
 *
 * @param crowd - per ground truth; missing entries mean false
 * @returns `detections.length x groundTruths.length`, row-major
 */
export function bboxIou(
  detections: readonly (BoxXywh | readonly number[])[],
  groundTruths: readonly (BoxXywh | readonly number[])[],
  crowd: readonly (boolean | number)[] = [],
): Float64Array {
  const columns = groundTruths.length;
  const result = new Float64Array(detections.length * columns);
  for (let g = 0; g < columns; g++) {
    const [gx, gy, gw, gh] = groundTruths[g] as BoxXywh;
    const isCrowd = Boolean(crowd[g]);
    for (let d = 0; d < detections.length; d++) {
      const [dx, dy, dw, dh] = detections[d] as BoxXywh;
      const width = Math.min(dw + dx, gw + gx) - Math.max(dx, gx);
      if (!(width > 0)) continue;
      const height = Math.min(dh + dy, gh + gy) - Math.max(dy, gy);
      if (!(height > 0)) continue;
      const intersection = width * height;
      const denominator = isCrowd ? dw * dh : dw * dh + gw * gh - intersection;
      result[d * columns + g] = intersection / denominator;
    }
  }
  return result;
}

/**
 * COCO's mask IoU of every detection with every ground truth. Only pairs whose boxes overlap are walked.
 *
 * @param crowd - per ground truth; missing entries mean false
 * @param options.compat - `pycocotools`: -1 for two overlapping masks of different size, instead of an error. @defaultValue "strict"
 * @returns `detections.length x groundTruths.length`, row-major
 * @throws RleError (reason `size`) when two overlapping masks differ in size
 */
export function iou(
  detections: readonly Rle[],
  groundTruths: readonly Rle[],
  crowd: readonly (boolean | number)[] = [],
  { compat = "strict" }: { compat?: "pycocotools" | "strict" } = {},
): Float64Array {
  const columns = groundTruths.length;
  const result = bboxIou(detections.map(toBbox), groundTruths.map(toBbox), crowd);
  for (let d = 0; d < detections.length; d++) {
    const detection = detections[d]!;
    for (let g = 0; g < columns; g++) {
      const at = d * columns + g;
      if (!(result[at]! > 0)) continue;
      const truth = groundTruths[g]!;
      const isSameSize = detection.size[0] === truth.size[0] && detection.size[1] === truth.size[1];
      result[at] = !isSameSize && compat === "pycocotools" ? -1 : pairIou(detection, truth, Boolean(crowd[g]));
    }
  }
  return result;
}

function pairIou(a: Rle, b: Rle, isCrowd: boolean): number {
  if (a.size[0] !== b.size[0] || a.size[1] !== b.size[1]) {
    throw new RleError({
      reason: "size",
      message: `IoU of masks of size [${a.size[0]}, ${a.size[1]}] and [${b.size[0]}, ${b.size[1]}]: both must have the image's size.`,
    });
  }
  const intersection = intersectionOfRuns(a.counts, 0, a.counts.length, b.counts, 0, b.counts.length);
  if (intersection === 0) return 0;
  return intersection / (isCrowd ? area(a) : area(a) + area(b) - intersection);
}
