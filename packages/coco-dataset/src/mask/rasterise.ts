import type { RasterScratch, RunBuffer } from "./run-buffer.js";

/** Sub-pixel grid of pycocotools' rasteriser. */
const SCALE = 5;
/** Column x is crossed between the grid columns 5x + 2 and 5x + 3: (5x + 2 + 0.5) / 5 - 0.5 = x. */
const CENTRE = 2;

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
  const numEdges = gridEdges(buffer, part);
  const { first, total } = columnPlaces(buffer, numEdges, width);
  buffer.reserve(total + 1);
  const { data, length: start, scratch } = buffer;
  const { edges } = scratch;
  for (let e = 0; e < 4 * numEdges; e += 4) {
    const xs = edges[e]!;
    const ys = edges[e + 1]!;
    const xe = edges[e + 2]!;
    const ye = edges[e + 3]!;
    const dx = Math.abs(xe - xs);
    const dy = Math.abs(ye - ys);
    const last = lastColumn(xs, xe, width);
    let column = firstColumn(xs, xe);
    if (dx >= dy) {
      const slope = (ye - ys) / dx;
      for (; column <= last; column++) {
        const t = SCALE * column + CENTRE - xs;
        const before = Math.trunc(ys + slope * t + 0.5);
        const after = Math.trunc(ys + slope * (t + 1) + 0.5);
        insert(data, scratch, column - first, column * height + rowOf(before < after ? before : after, height));
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
        insert(data, scratch, column - first, column * height + rowOf(ys + t - 1, height));
      }
    }
  }
  data[start + total] = height * width;
  buffer.length = differences(data, start, start + total + 1);
}

/** Fills `scratch.edges` with `[xs, ys, xe, ye]` per edge on the grid, in the direction of the rising parameter: both directions of an edge cross
 * alike. Returns their number. */
function gridEdges({ scratch }: RunBuffer, part: ArrayLike<number>): number {
  const corners = part.length / 2;
  if (scratch.edges.length < 4 * corners) scratch.edges = new Int32Array(8 * corners);
  const { edges } = scratch;
  let xs = Math.trunc(SCALE * part[part.length - 2]! + 0.5);
  let ys = Math.trunc(SCALE * part[part.length - 1]! + 0.5);
  for (let j = 0; j < corners; j++) {
    const xe = Math.trunc(SCALE * part[2 * j]! + 0.5);
    const ye = Math.trunc(SCALE * part[2 * j + 1]! + 0.5);
    const isFlipped = Math.abs(xe - xs) >= Math.abs(ye - ys) ? xs > xe : ys > ye;
    edges[4 * j] = isFlipped ? xe : xs;
    edges[4 * j + 1] = isFlipped ? ye : ys;
    edges[4 * j + 2] = isFlipped ? xs : xe;
    edges[4 * j + 3] = isFlipped ? ys : ye;
    xs = xe;
    ys = ye;
  }
  return corners;
}

/** First pixel column inside the image that an edge crosses: ceil((min - 2) / 5). */
function firstColumn(xs: number, xe: number): number {
  const low = xs < xe ? xs : xe;
  // Integer division truncates, which is the floor from 0 on.
  return low <= CENTRE ? 0 : ((low + CENTRE) / SCALE) | 0;
}

/** Last pixel column inside the image that an edge crosses: floor((max - 3) / 5). */
function lastColumn(xs: number, xe: number, width: number): number {
  const high = (xs < xe ? xe : xs) - CENTRE - 1;
  if (high < 0) return -1;
  const column = (high / SCALE) | 0;
  return column > width - 1 ? width - 1 : column;
}

/**
 * Room for the crossings of each column, columns ascending from the end of the buffer: crossings are never sorted as a whole.
 * `scratch.start` and `scratch.next` hold the first and the next place of column `first + i`.
 */
function columnPlaces(buffer: RunBuffer, numEdges: number, width: number): { first: number; total: number } {
  const { scratch, length } = buffer;
  const { edges } = scratch;
  let first = width;
  let last = -1;
  for (let e = 0; e < 4 * numEdges; e += 4) {
    const from = firstColumn(edges[e]!, edges[e + 2]!);
    const to = lastColumn(edges[e]!, edges[e + 2]!, width);
    if (from > to) continue;
    if (from < first) first = from;
    if (to > last) last = to;
  }
  const size = Math.max(0, last - first + 1);
  if (scratch.next.length <= size) {
    scratch.next = new Int32Array(2 * size + 1);
    scratch.start = new Int32Array(2 * size + 1);
  }
  const { next, start } = scratch;
  next.fill(0, 0, size + 1);
  for (let e = 0; e < 4 * numEdges; e += 4) {
    const from = firstColumn(edges[e]!, edges[e + 2]!);
    const to = lastColumn(edges[e]!, edges[e + 2]!, width);
    if (from > to) continue;
    next[from - first]!++;
    next[to - first + 1]!--;
  }
  let open = 0;
  let place = length;
  for (let c = 0; c < size; c++) {
    open += next[c]!;
    next[c] = place;
    start[c] = place;
    place += open;
  }
  return { first, total: place - length };
}

/** Puts a crossing into column c, rows ascending. */
function insert(data: Uint32Array, { start, next }: RasterScratch, c: number, position: number): void {
  const from = start[c]!;
  let at = next[c]!;
  next[c] = at + 1;
  for (; at > from && data[at - 1]! > position; at--) data[at] = data[at - 1]!;
  data[at] = position;
}

/** First pixel row whose centre lies at or below grid row v: ceil((v + 0.5) / 5 - 0.5), clamped to the image. */
function rowOf(v: number, height: number): number {
  if (v <= CENTRE) return 0;
  const row = ((v + CENTRE) / SCALE) | 0;
  return row > height ? height : row;
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
