import { PolygonError } from "../errors.js";
import type { BoxXywh, Rle } from "../types.js";
import { rasteriseInto } from "./rasterise.js";
import { checkSize, merge } from "./rle.js";
import { RunBuffer } from "./run-buffer.js";

/** Beyond this 5x positions and their differences approach the end of exact 32-bit arithmetic: a unit mistake, not a polygon. */
const MAX_COORDINATE = 1e7;

/**
 * Union of polygon parts, each filled even-odd; bit-exact with pycocotools (`frPyObjects` + `merge`). Parts are unioned, so a hole
 * cannot be a second part; what lies outside the image is clipped.
 *
 * @param parts - flat `[x, y, ...]`, pixels, corner convention; each of even length >= 6
 * @throws PolygonError on a part that is too short, of odd length or not finite
 */
export function fromPolygons(parts: readonly ArrayLike<number>[], height: number, width: number): Rle {
  checkSize(height, width);
  const buffer = new RunBuffer();
  appendPolygons(buffer, parts, height, width);
  return { size: [height, width], counts: buffer.data.slice(0, buffer.length) };
}

/** {@link fromPolygons} into a buffer that holds other masks already; the size is checked by the caller. */
export function appendPolygons(
  buffer: RunBuffer,
  parts: readonly ArrayLike<number>[],
  height: number,
  width: number,
): void {
  const [first] = parts;
  if (first === undefined) {
    buffer.push(height * width);
    return;
  }
  if (parts.length === 1) {
    checkPart(first, 0);
    rasteriseInto(buffer, first, height, width);
    return;
  }
  buffer.append(
    merge(
      parts.map((part, index) => {
        checkPart(part, index);
        return rasterise(part, height, width);
      }),
    ).counts,
  );
}

function rasterise(part: ArrayLike<number>, height: number, width: number): Rle {
  const buffer = new RunBuffer();
  rasteriseInto(buffer, part, height, width);
  return { size: [height, width], counts: buffer.data.slice(0, buffer.length) };
}

/** The polygon (x, y), (x, y2), (x2, y2), (x2, y) of a `[x, y, width, height]` box. */
export function fromBbox(bbox: BoxXywh | readonly number[], height: number, width: number): Rle {
  checkSize(height, width);
  const [x = Number.NaN, y = Number.NaN, w = Number.NaN, h = Number.NaN] = bbox;
  const ring = [x, y, x, y + h, x + w, y + h, x + w, y];
  checkPart(ring, 0);
  return rasterise(ring, height, width);
}

function checkPart(part: ArrayLike<number>, index: number): void {
  if (part.length < 6 || part.length % 2 !== 0) {
    throw new PolygonError({
      message: `polygon part ${index} has ${part.length} numbers, expected an even count >= 6.`,
    });
  }
  for (let i = 0; i < part.length; i++) {
    // The negated comparison also catches NaN.
    if (!(Math.abs(part[i]!) <= MAX_COORDINATE)) {
      throw new PolygonError({
        message: `polygon part ${index} has coordinate ${part[i]}, expected a finite pixel position.`,
      });
    }
  }
}
