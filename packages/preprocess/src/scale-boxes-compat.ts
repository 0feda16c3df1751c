import type { Box } from "@seg/coco-dataset";
import { pyRound } from "./rounding.js";

const clamp = (value: number, high: number): number => Math.min(Math.max(value, 0), high);

/**
 * Boxes of a foreign YOLO runtime, which keeps no geometry: gain = min(S_h / h, S_w / w), pad = pyRound((S - side * gain) / 2 - 0.1),
 * x = (x - pad) / gain, clipped to the image. Differs from {@link mapBoxToImage} by the rounding of the content (below 1 px at the far
 * edge); use the geometry where there is one.
 *
 * @param boxes - xyxy on the network input
 * @param net - [height, width] of the network input, pixels
 * @param image - [height, width] of the picture, pixels
 * @example scaleBoxesCompat([[0, 80, 640, 560]], [640, 640], [480, 640]) // [[0, 0, 640, 480]]
 */
export function scaleBoxesCompat(
  boxes: readonly Box[],
  net: readonly [height: number, width: number],
  image: readonly [height: number, width: number],
): Box[] {
  const gain = Math.min(net[0] / image[0], net[1] / image[1]);
  const padX = pyRound((net[1] - image[1] * gain) / 2 - 0.1);
  const padY = pyRound((net[0] - image[0] * gain) / 2 - 0.1);
  return boxes.map(([x1, y1, x2, y2]) => [
    clamp((x1 - padX) / gain, image[1]),
    clamp((y1 - padY) / gain, image[0]),
    clamp((x2 - padX) / gain, image[1]),
    clamp((y2 - padY) / gain, image[0]),
  ]);
}
