import type { RunBuffer } from "./run-buffer.js";

/** Sub-pixel grid of pycocotools' rasteriser. */
const SCALE = 5;
/** Column x is crossed between the grid columns 5x + 2 and 5x + 3: (5x + 2 + 0.5) / 5 - 0.5 = x. */
const CENTRE = 2;
/** Below it, insertion beats a call into the typed array's sort. */
const SHORT = 32;

/**
 * Appends the runs of one polygon part, filled even-odd; bit-exact with pycocotools' rleFrPoly. That walks every point of a ring on the
 * 5x grid and keeps the 1 in 5 that cross a pixel-column centre; here only those are computed:
 * - edge flatter than 45 degrees: the grid column is the walk's parameter t, its row trunc(ys + slope * t + 0.5);
 * - steeper: the column is trunc(xs + slope * t + 0.5), monotone in t, so the crossing's t follows from the line and is corrected by
 *   evaluating that very expression.
 *
 * @param part - flat `[x, y, ...]`, checked: finite, even length >= 6, at most 1e7 from the origin
 */
export function rasteriseInto(buffer: RunBuffer, part: ArrayLike<number>, height: number, width: number): void {
  const corners = part.length / 2;
  let bound = 1;
  for (let j = 0, x = part[part.length - 2]!; j < corners; j++) {
    bound += Math.min(Math.abs(part[2 * j]! - x), width) + 2;
    x = part[2 * j]!;
  }
  buffer.reserve(Math.ceil(bound));
  const { data, length: start } = buffer;
  let end = start;
  let xNext = Math.trunc(SCALE * part[0]! + 0.5);
  let yNext = Math.trunc(SCALE * part[1]! + 0.5);
  const xFirst = xNext;
  const yFirst = yNext;
  for (let j = 0; j < corners; j++) {
    const xThis = xNext;
    const yThis = yNext;
    const isLast = j + 1 === corners;
    xNext = isLast ? xFirst : Math.trunc(SCALE * part[2 * j + 2]! + 0.5);
    yNext = isLast ? yFirst : Math.trunc(SCALE * part[2 * j + 3]! + 0.5);
    const dx = Math.abs(xNext - xThis);
    const dy = Math.abs(yNext - yThis);
    const isFlat = dx >= dy;
    // Always walked in the direction of the rising parameter, so that both directions of an edge cross alike.
    const isFlipped = isFlat ? xThis > xNext : yThis > yNext;
    const xs = isFlipped ? xNext : xThis;
    const ys = isFlipped ? yNext : yThis;
    const xe = isFlipped ? xThis : xNext;
    const ye = isFlipped ? yThis : yNext;
    const low = xs < xe ? xs : xe;
    const high = xs < xe ? xe : xs;
    let column = Math.ceil((low - CENTRE) / SCALE);
    if (column < 0) column = 0;
    let last = Math.floor((high - CENTRE - 1) / SCALE);
    if (last > width - 1) last = width - 1;
    if (isFlat) {
      const slope = (ye - ys) / dx;
      for (; column <= last; column++) {
        const t = SCALE * column + CENTRE - xs;
        const before = Math.trunc(ys + slope * t + 0.5);
        const after = Math.trunc(ys + slope * (t + 1) + 0.5);
        data[end++] = column * height + rowOf(before < after ? before : after, height);
      }
    } else {
      const slope = (xe - xs) / dy;
      for (; column <= last; column++) {
        const left = SCALE * column + CENTRE;
        // First t on the far side of the crossing: column >= left + 1 when walking right, <= left when walking left.
        let t = Math.ceil((left + 0.5 - xs) / slope);
        if (slope > 0) {
          while (t > 1 && Math.trunc(xs + slope * (t - 1) + 0.5) > left) t--;
          while (t < dy && Math.trunc(xs + slope * t + 0.5) <= left) t++;
        } else {
          while (t > 1 && Math.trunc(xs + slope * (t - 1) + 0.5) <= left) t--;
          while (t < dy && Math.trunc(xs + slope * t + 0.5) > left) t++;
        }
        data[end++] = column * height + rowOf(ys + t - 1, height);
      }
    }
  }
  data[end++] = height * width;
  sortAscending(data, start, end);
  buffer.length = differences(data, start, end);
}

/** First pixel row whose centre lies at or below grid row v, clamped to the image. */
function rowOf(v: number, height: number): number {
  const y = (v + 0.5) / SCALE - 0.5;
  return Math.ceil(y < 0 ? 0 : y > height ? height : y);
}

function sortAscending(data: Uint32Array, start: number, end: number): void {
  if (end - start > SHORT) {
    data.subarray(start, end).sort();
    return;
  }
  for (let i = start + 1; i < end; i++) {
    const value = data[i]!;
    let j = i - 1;
    for (; j >= start && data[j]! > value; j--) data[j + 1] = data[j]!;
    data[j + 1] = value;
  }
}

/** Replaces sorted positions by runs in place; a zero difference joins the runs on both sides. Returns the new end. */
function differences(data: Uint32Array, start: number, end: number): number {
  let previous = data[start]!;
  let length = start + 1;
  for (let j = start + 1; j < end; ) {
    const run = data[j]! - previous;
    previous = data[j]!;
    j++;
    if (run > 0) data[length++] = run;
    else if (j < end) {
      data[length - 1]! += data[j]! - previous;
      previous = data[j]!;
      j++;
    }
  }
  return length;
}
