import type { RgbImage } from "@seg/coco-dataset";
import { cv2Scale } from "./cv2-table.js";
import { checkImage, checkSize } from "./sizes.js";

/**
 * Bit-exact `cv2.resize(..., interpolation=INTER_NEAREST)` on RGB uint8 (OpenCV 5.0, x64): source index floor(x * scale), at most the last.
 *
 * @returns a new image; never aliases the input
 * @throws PreprocessError `zero_dimension`
 */
export function resizeCv2Nearest(image: RgbImage, width: number, height: number): RgbImage {
  checkImage(image);
  checkSize(width, height);
  const pick = (from: number, to: number) => {
    const scale = cv2Scale(from, to);
    return Int32Array.from({ length: to }, (_, x) => Math.min(Math.floor(x * scale), from - 1));
  };
  const columns = pick(image.width, width);
  const rows = pick(image.height, height);
  const data = new Uint8Array(width * height * 3);
  for (let y = 0, o = 0; y < height; y++) {
    const row = rows[y]! * image.width;
    for (let x = 0; x < width; x++, o += 3) {
      const p = (row + columns[x]!) * 3;
      data[o] = image.data[p]!;
      data[o + 1] = image.data[p + 1]!;
      data[o + 2] = image.data[p + 2]!;
    }
  }
  return { width, height, data };
}
