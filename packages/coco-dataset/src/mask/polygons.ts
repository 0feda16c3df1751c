import { PolygonError } from "../errors.js";
import type { BoxXywh, Rle } from "../types.js";
import { checkSize, merge } from "./rle.js";

/** Sub-pixel grid of pycocotools' rasteriser. */
const SCALE = 5;
/** Beyond this a ring would walk more than 10^8 grid points: a unit mistake, not a polygon. */
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
  if (parts.length === 0) return { size: [height, width], counts: Uint32Array.of(height * width) };
  return merge(
    parts.map((part, index) => {
      checkPart(part, index);
      return rasterise(part, height, width);
    }),
  );
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

/** pycocotools' rleFrPoly: walk the ring on a 5x grid, keep where it crosses a pixel-column centre, sort, difference. */
function rasterise(part: ArrayLike<number>, height: number, width: number): Rle {
  const corners = part.length / 2;
  const crossings: number[] = [];
  let hasPrevious = false;
  let previousU = 0;
  let previousV = 0;
  for (let j = 0; j < corners; j++) {
    const k = j + 1 === corners ? 0 : j + 1;
    let xs = Math.trunc(SCALE * part[2 * j]! + 0.5);
    let ys = Math.trunc(SCALE * part[2 * j + 1]! + 0.5);
    let xe = Math.trunc(SCALE * part[2 * k]! + 0.5);
    let ye = Math.trunc(SCALE * part[2 * k + 1]! + 0.5);
    const dx = Math.abs(xe - xs);
    const dy = Math.abs(ye - ys);
    const isFlat = dx >= dy;
    const isFlipped = (isFlat && xs > xe) || (!isFlat && ys > ye);
    if (isFlipped) {
      [xs, xe] = [xe, xs];
      [ys, ye] = [ye, ys];
    }
    const steps = isFlat ? dx : dy;
    // A zero-length edge: any fixed value, its point never takes part in a crossing.
    const slope = steps === 0 ? 0 : isFlat ? (ye - ys) / dx : (xe - xs) / dy;
    for (let d = 0; d <= steps; d++) {
      const t = isFlipped ? steps - d : d;
      const u = isFlat ? t + xs : Math.trunc(xs + slope * t + 0.5);
      const v = isFlat ? Math.trunc(ys + slope * t + 0.5) : t + ys;
      if (hasPrevious && u !== previousU) {
        const x = ((u < previousU ? u : u - 1) + 0.5) / SCALE - 0.5;
        if (x >= 0 && x <= width - 1 && Math.floor(x) === x) {
          const y = ((v < previousV ? v : previousV) + 0.5) / SCALE - 0.5;
          crossings.push(x * height + Math.ceil(y < 0 ? 0 : y > height ? height : y));
        }
      }
      hasPrevious = true;
      previousU = u;
      previousV = v;
    }
  }
  crossings.push(height * width);
  const sorted = Uint32Array.from(crossings).sort();
  const counts = new Uint32Array(sorted.length);
  counts[0] = sorted[0]!;
  let length = 1;
  for (let j = 1; j < sorted.length; ) {
    const run = sorted[j]! - sorted[j - 1]!;
    j++;
    if (run > 0) counts[length++] = run;
    else if (j < sorted.length) {
      counts[length - 1] = counts[length - 1]! + sorted[j]! - sorted[j - 1]!;
      j++;
    }
  }
  return { size: [height, width], counts: counts.slice(0, length) };
}
