import { type CocoResult, evaluate, mask, xyxyToXywh } from "@seg/coco-dataset";
import { type Detector, validationSettings } from "@seg/export/runtime";
import { CLASS_NAMES, cocoOf, type Photo } from "./photos.js";

/** COCO's mask mAP at IoU .5 of a detector on annotated pictures in memory. */
export async function maskMap50(detector: Detector, photos: readonly Photo[]): Promise<number> {
  const detections: CocoResult[] = [];
  for (const [image_id, { image }] of photos.entries()) {
    const { scores, classes, boxes, masks } = await detector.predict(image, validationSettings(CLASS_NAMES.length));
    scores.forEach((score, i) => {
      const [x1, y1, x2, y2] = boxes.subarray(4 * i, 4 * i + 4) as unknown as [number, number, number, number];
      const { size, counts } = { ...masks![i]!, counts: mask.toString(masks![i]!) };
      const row = { image_id, category_id: classes[i]! + 1, score, bbox: xyxyToXywh([x1, y1, x2, y2]) };
      detections.push({ ...row, segmentation: { size, counts } });
    });
  }
  const { stats, names } = evaluate({ groundTruth: cocoOf(photos), detections, iouType: "segm" });
  return stats[names.indexOf("AP50")]!;
}
