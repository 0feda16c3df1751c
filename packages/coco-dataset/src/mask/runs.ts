/** The algebra on `data[start, end)`: zero run, one run, zero run, ... column-major; `Rle` wraps one such range. */

/** Sum of all runs. */
export function totalOfRuns(data: Uint32Array, start: number, end: number): number {
  let total = 0;
  for (let i = start; i < end; i++) total += data[i]!;
  return total;
}

/** Number of foreground pixels. */
export function areaOfRuns(data: Uint32Array, start: number, end: number): number {
  let total = 0;
  for (let i = start + 1; i < end; i += 2) total += data[i]!;
  return total;
}

/** Writes the tight `[x, y, width, height]` of the foreground to `out[at, at + 4)`; zeros when there is none. */
export function bboxOfRuns(
  data: Uint32Array,
  start: number,
  end: number,
  height: number,
  out: Float64Array | number[],
  at: number,
): void {
  let left = -1;
  let right = 0;
  let top = height;
  let bottom = -1;
  let column = 0;
  /** Row of the next run's first pixel in `column`. */
  let row = 0;
  for (let i = start; i < end; i++) {
    const run = data[i]!;
    let nextRow = row + run;
    let nextColumn = column;
    if (nextRow >= height && height > 0) {
      const columns = nextRow < 2 * height ? 1 : Math.floor(nextRow / height);
      nextColumn += columns;
      nextRow -= columns * height;
    }
    if (((i - start) & 1) === 1 && run > 0) {
      // The last pixel lies one before the next run's first.
      const lastColumn = nextRow === 0 ? nextColumn - 1 : nextColumn;
      if (left < 0) left = column;
      right = lastColumn;
      if (column < lastColumn) {
        top = 0;
        bottom = height - 1;
      } else {
        const lastRow = nextRow === 0 ? height - 1 : nextRow - 1;
        if (row < top) top = row;
        if (lastRow > bottom) bottom = lastRow;
      }
    }
    column = nextColumn;
    row = nextRow;
  }
  const isEmpty = left < 0;
  out[at] = isEmpty ? 0 : left;
  out[at + 1] = isEmpty ? 0 : top;
  out[at + 2] = isEmpty ? 0 : right - left + 1;
  out[at + 3] = isEmpty ? 0 : bottom - top + 1;
}

/** Pixels in both of two masks of equal total; the union is areaA + areaB - this. */
export function intersectionOfRuns(
  a: Uint32Array,
  startA: number,
  endA: number,
  b: Uint32Array,
  startB: number,
  endB: number,
): number {
  let intersection = 0;
  // Only foreground intervals matter: [fromA, toA) against [fromB, toB).
  let i = startA;
  let j = startB;
  let toA = 0;
  let toB = 0;
  let fromA = 0;
  let fromB = 0;
  if (i + 1 >= endA || j + 1 >= endB) return 0;
  fromA = a[i]!;
  toA = fromA + a[i + 1]!;
  i += 2;
  fromB = b[j]!;
  toB = fromB + b[j + 1]!;
  j += 2;
  for (;;) {
    const from = fromA > fromB ? fromA : fromB;
    if (toA < toB) {
      if (toA > from) intersection += toA - from;
      if (i + 1 >= endA) return intersection;
      fromA = toA + a[i]!;
      toA = fromA + a[i + 1]!;
      i += 2;
    } else {
      if (toB > from) intersection += toB - from;
      if (j + 1 >= endB) return intersection;
      fromB = toB + b[j]!;
      toB = fromB + b[j + 1]!;
      j += 2;
    }
  }
}
