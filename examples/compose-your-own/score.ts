import { type CocoDataset, type CocoResult, evaluate, mask, xyxyToXywh } from "@seg/coco-dataset";
import { type Detector, validationSettings } from "@seg/export/runtime";
import { CLASS_NAMES, type Photo } from "./photos.js";

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

/** The pictures' outlines as COCO says them. */
function cocoOf(photos: readonly Photo[]): CocoDataset {
  const outlines = photos.flatMap(({ objects }, image_id) => objects.map((object) => ({ image_id, ...object })));
  return {
    images: photos.map(({ image: { width, height } }, id) => ({ id, width, height, file_name: `${id}.png` })),
    categories: CLASS_NAMES.map((name, index) => ({ id: index + 1, name })),
    annotations: outlines.map(({ image_id, classId, outline }, id) => {
      const { width, height } = photos[image_id]!.image;
      const area = mask.area(mask.fromPolygons([outline], height, width));
      return { id: id + 1, image_id, category_id: classId + 1, segmentation: [Array.from(outline)], area, iscrowd: 0 };
    }),
  };
}
