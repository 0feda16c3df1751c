import type { FindingFix } from "../findings.js";
import type { Item } from "./geometry.js";
import type { RawFinding } from "./raw-finding.js";
import type { HealthThresholds } from "./thresholds.js";

/** Boxes that look like another format than `[x, y, width, height]` in pixels; judged over the whole dataset, never one by one. */
export function formatFindings(items: readonly Item[], limits: HealthThresholds): RawFinding[] {
  const boxes = items.filter((item) => item.box !== null && item.isOwnBox);
  const finding = (code: string, message: string, found: readonly Item[], fix: FindingFix): RawFinding => ({
    code,
    severity: "warn",
    layer: "geometry",
    message,
    ids: found.map((item) => item.annotation.id),
    fix,
  });
  if (boxes.length === 0) return [];
  if (boxes.every(({ box }) => box!.every((value) => value >= 0 && value <= 1))) {
    return [
      finding("bbox_normalised_suspected", "All box numbers lie in [0, 1]: normalised, where COCO has pixels", boxes, {
        kind: "box-from-normalised",
        safe: false,
      }),
    ];
  }
  const isFew = (found: readonly Item[]) => found.length <= limits.otherFormatShare * boxes.length;
  // One such box is an out-of-bounds box; a fifth of all is another format.
  const corners = boxes.filter((item) => leavesImage(item) && fitsAsCorners(item));
  const areCenters = boxes.every((item) => fitsAsCenter(item, limits));
  // Where both readings fit some boxes, the one that fits all of them is meant.
  if (!isFew(corners) && (!areCenters || boxes.every(fitsAsCorners))) {
    return [
      finding("bbox_xyxy_suspected", "Many boxes leave the image and would fit as [x1, y1, x2, y2]", corners, {
        kind: "box-from-corners",
        safe: false,
      }),
    ];
  }
  const centers = boxes.filter(leavesImage);
  if (!isFew(centers) && areCenters) {
    return [
      finding(
        "yolo_center_suspected",
        "Many boxes leave the image and all fit as [x centre, y centre, width, height]",
        boxes,
        {
          kind: "box-from-center",
          safe: false,
        },
      ),
    ];
  }
  return [];
}

function leavesImage({ box, image }: Item): boolean {
  const [x, y, w, h] = box!;
  return x + w > image.width || y + h > image.height;
}

function fitsAsCorners({ box, image }: Item): boolean {
  const [x, y, w, h] = box!;
  return w > x && h > y && w <= image.width && h <= image.height;
}

function fitsAsCenter({ box, image }: Item, { boundsTolerance: slack }: HealthThresholds): boolean {
  const [x, y, w, h] = box!;
  return (
    x - w / 2 >= -slack && y - h / 2 >= -slack && x + w / 2 <= image.width + slack && y + h / 2 <= image.height + slack
  );
}
