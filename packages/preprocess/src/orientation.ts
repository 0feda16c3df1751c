import type { RgbImage } from "@seg/coco-dataset";
import type { Orientation } from "./geometry.js";

/** True when the orientation swaps width and height (5-8). */
export function swapsSides(orientation: Orientation): boolean {
  return orientation >= 5;
}

/**
 * Stored corner coordinates -> upright ones, for a stored picture of `width` x `height`.
 *
 * @example orientPoint([1, 2], 6, 4, 3) // [1, 1], of a 3 x 4 upright picture
 */
export function orientPoint(
  [x, y]: readonly [number, number],
  orientation: Orientation,
  width: number,
  height: number,
): [number, number] {
  switch (orientation) {
    case 2:
      return [width - x, y];
    case 3:
      return [width - x, height - y];
    case 4:
      return [x, height - y];
    case 5:
      return [y, x];
    case 6:
      return [height - y, x];
    case 7:
      return [height - y, width - x];
    case 8:
      return [y, width - x];
    default:
      return [x, y];
  }
}

/**
 * The orientation that undoes another: 6 and 8 are each other's, the rest their own. With {@link orientPoint} and the upright size it
 * takes annotations back to the stored pixels.
 *
 * @example inverseOrientation(6) // 8
 */
export function inverseOrientation(orientation: Orientation): Orientation {
  return orientation === 6 ? 8 : orientation === 8 ? 6 : orientation;
}

/** Turns stored pixels upright. Returns the input itself for orientation 1, else a new image. */
export function orientImage(image: RgbImage, orientation: Orientation): RgbImage {
  if (orientation === 1) return image;
  const { width, height, data } = image;
  const outWidth = swapsSides(orientation) ? height : width;
  const outHeight = swapsSides(orientation) ? width : height;
  const out = new Uint8Array(data.length);
  // Affine in x and y on pixel indices (W - 1, H - 1 in place of W, H): one offset and two steps serve all eight.
  const [x0, y0] = orientPoint([0, 0], orientation, width - 1, height - 1);
  const [xx, yx] = orientPoint([1, 0], orientation, width - 1, height - 1);
  const [xy, yy] = orientPoint([0, 1], orientation, width - 1, height - 1);
  const origin = (y0 * outWidth + x0) * 3;
  const stepX = ((yx - y0) * outWidth + (xx - x0)) * 3;
  const stepY = ((yy - y0) * outWidth + (xy - x0)) * 3;
  let p = 0;
  for (let y = 0; y < height; y++) {
    let o = origin + y * stepY;
    for (let x = 0; x < width; x++, p += 3, o += stepX) {
      out[o] = data[p]!;
      out[o + 1] = data[p + 1]!;
      out[o + 2] = data[p + 2]!;
    }
  }
  return { width: outWidth, height: outHeight, data: out };
}
