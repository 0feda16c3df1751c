import type { CocoDataset, CocoResult } from "../document.js";
import { iou } from "../mask/iou.js";
import { evaluate } from "./evaluate.js";
import { prepareDetections, prepareTruths } from "./prepare.js";

/** Mask quality numbers that COCO's summary does not hold. */
export interface MaskIouMetrics {
  /** Mean over non-crowd ground truths of the best IoU among same-class detections above the score threshold, 0 where missed; -1 without ground truth. */
  readonly meanMaskIoU: number;
  /** Mean IoU of the true positives of COCO matching at IoU 0.5 (all scores); -1 without any. */
  readonly matchedMaskIoU: number;
  readonly numGroundTruths: number;
  readonly numMatched: number;
}

/**
 * Mask IoU at the original image resolution.
 *
 * @param input.scoreThreshold - detections below it do not enter meanMaskIoU. @defaultValue 0.25
 * @throws EvalInputError as {@link evaluate}
 */
export function maskIoUMetrics({
  groundTruth,
  detections,
  scoreThreshold = 0.25,
}: {
  groundTruth: CocoDataset;
  detections: readonly CocoResult[];
  scoreThreshold?: number;
}): MaskIouMetrics {
  const images = new Map(groundTruth.images.map((image) => [image.id, image]));
  const categories = new Set(groundTruth.categories.map((category) => category.id));
  const context = { iouType: "segm", compat: "pycocotools", images, numKeypoints: 0 } as const;
  const truths = prepareTruths(groundTruth, context).filter(
    (truth) => !truth.isCrowd && categories.has(truth.categoryId),
  );
  const prepared = prepareDetections(detections, { ...context, categories });
  const key = (item: { imageId: number; categoryId: number }) => `${item.imageId}/${item.categoryId}`;
  const groups = new Map<string, number[]>();
  prepared.forEach((detection, i) => {
    const list = groups.get(key(detection));
    if (list === undefined) groups.set(key(detection), [i]);
    else list.push(i);
  });

  let best = 0;
  for (const truth of truths) {
    const candidates = (groups.get(key(truth)) ?? []).filter((i) => prepared[i]!.score >= scoreThreshold);
    const values = iou(
      candidates.map((i) => prepared[i]!.rle!),
      [truth.rle!],
    );
    best += values.reduce((a, b) => Math.max(a, b), 0);
  }

  const truthById = new Map(truths.map((truth) => [truth.id, truth]));
  const { matches = [] } = evaluate({
    groundTruth,
    detections,
    iouType: "segm",
    matches: true,
    params: { iouThresholds: [0.5] },
  });
  let matched = 0;
  let numMatched = 0;
  for (const cell of matches) {
    cell.detectionMatches[0]!.forEach((g, d) => {
      if (g < 0 || cell.detectionIgnored[0]![d]) return;
      const truth = truthById.get(cell.groundTruthIds[g]!);
      if (truth === undefined) return;
      matched += iou([prepared[cell.detectionRows[d]!]!.rle!], [truth.rle!])[0]!;
      numMatched++;
    });
  }
  return {
    meanMaskIoU: truths.length === 0 ? -1 : best / truths.length,
    matchedMaskIoU: numMatched === 0 ? -1 : matched / numMatched,
    numGroundTruths: truths.length,
    numMatched,
  };
}
