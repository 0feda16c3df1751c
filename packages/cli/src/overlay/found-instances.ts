import type { OverlayInstance } from "@seg/coco-dataset/preview";
import type { DetectionResult } from "@seg/export/runtime";

/** The detections of one image as instances to draw or list; boxes xyxy in image pixels, scores in [0, 1]. */
export function foundInstances({
  scores,
  classes,
  names,
  boxes,
  masks,
}: DetectionResult): (OverlayInstance & { score: number })[] {
  return Array.from(scores, (score, i) => ({
    classId: classes[i]!,
    name: names[i]!,
    score,
    box: [boxes[4 * i]!, boxes[4 * i + 1]!, boxes[4 * i + 2]!, boxes[4 * i + 3]!] as const,
    ...(masks ? { mask: masks[i]! } : {}),
  }));
}
