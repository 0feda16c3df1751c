import { type Homography, isAffine } from "../core/homography.js";
import type { InverseField } from "../core/inverse-field.js";

/** Int32 values per span: row, first column, end column, u, v, du, dv, isInterior. */
export const SPAN_STRIDE = 8;

/** Columns over which a curved map is walked in a straight line. At S = 640 and the strongest perspective of the profile the error is below 0.003 px. */
const SPAN_COLUMNS = 8;

/** Fixed-point coordinates are 16.16: beyond this many pixels they would overflow. */
const LIMIT = 32000;

/** Longest span of an affine map, columns. */
const LONGEST = 1024;

/** 16.16 */
const ONE = 65536;

/**
 * Where each output pixel reads the source, as straight spans. `u`, `v` are 16.16 source positions of the first pixel's centre minus half a
 * pixel (so that the integer part is the upper left tap), `du`, `dv` the step per column. Pixels that no span covers lie outside.
 */
export interface SpanTable {
  /** {@link SPAN_STRIDE} values per span. */
  readonly spans: Int32Array;
  readonly count: number;
}

/** Part of the output to fill, half-open pixels. */
export interface PixelRect {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

// One table is built at a time, synchronously: the buffer and the limits of the readable part are shared.
let buffer = new Int32Array(4096);
let used = 0;
let lowU = 0;
let lowV = 0;
let highU = 0;
let highV = 0;

function push(row: number, from: number, to: number, u: number, v: number, du: number, dv: number): void {
  if (used + SPAN_STRIDE > buffer.length) {
    const grown = new Int32Array(buffer.length * 2);
    grown.set(buffer);
    buffer = grown;
  }
  const steps = to - from - 1;
  const endU = u + du * steps;
  const endV = v + dv * steps;
  // Half a weight step (1/256 px) is added when sampling; all four taps of every pixel must be inside.
  const margin = 1 / 128;
  const interior =
    Math.min(u, endU) >= lowU &&
    Math.min(v, endV) >= lowV &&
    Math.max(u, endU) + margin < highU &&
    Math.max(v, endV) + margin < highV;
  buffer[used] = row;
  buffer[used + 1] = from;
  buffer[used + 2] = to;
  buffer[used + 3] = Math.round(u * ONE);
  buffer[used + 4] = Math.round(v * ONE);
  buffer[used + 5] = Math.round(du * ONE);
  buffer[used + 6] = Math.round(dv * ONE);
  buffer[used + 7] = interior ? 1 : 0;
  used += SPAN_STRIDE;
}

/** Limits [from, to) to the columns where low <= start + step * (column + 0.5) < high. */
function columnRange(start: number, step: number, low: number, high: number, range: [number, number]): void {
  if (step === 0) {
    if (!(start >= low && start < high)) range[1] = range[0];
    return;
  }
  const a = (low - start) / step;
  const b = (high - start) / step;
  // A falling coordinate reaches `high` first; that end is open, so a centre exactly on it is left out.
  const from = step > 0 ? Math.ceil(a - 0.5) : Math.floor(b - 0.5) + 1;
  const to = step > 0 ? Math.ceil(b - 0.5) : Math.floor(a - 0.5) + 1;
  range[0] = Math.max(range[0], from);
  range[1] = Math.max(range[0], Math.min(range[1], to));
}

/**
 * Spans of a map given from the output to the source, optionally behind a field: source(q) = inverse(q + d(q)).
 *
 * @param options.inverse - output -> source
 * @param options.clip - source rectangle x1, y1, x2, y2 outside of which nothing is read; null reads everywhere (border modes)
 * @param options.rect - part of the output. @defaultValue the whole
 */
export function spanTable({
  inverse,
  field = null,
  sourceWidth,
  sourceHeight,
  rect,
  clip,
}: {
  inverse: Homography;
  field?: InverseField | null;
  sourceWidth: number;
  sourceHeight: number;
  rect: PixelRect;
  clip: readonly [number, number, number, number] | null;
}): SpanTable {
  used = 0;
  lowU = Math.max(0, (clip?.[0] ?? 0) - 0.5);
  lowV = Math.max(0, (clip?.[1] ?? 0) - 0.5);
  highU = Math.min(sourceWidth - 1, (clip?.[2] ?? sourceWidth) - 0.5);
  highV = Math.min(sourceHeight - 1, (clip?.[3] ?? sourceHeight) - 0.5);
  if (field === null && isAffine(inverse)) affineSpans(inverse, sourceWidth, sourceHeight, rect, clip);
  else if (field === null) projectiveSpans(inverse, rect, clip);
  else fieldSpans(inverse, field, rect, clip);
  return { spans: buffer.slice(0, used), count: used / SPAN_STRIDE };
}

function affineSpans(
  [A, B, C, D, E, F]: Homography,
  width: number,
  height: number,
  rect: PixelRect,
  clip: readonly [number, number, number, number] | null,
): void {
  const range: [number, number] = [0, 0];
  const inner: [number, number] = [0, 0];
  const limits = clip ?? [-LIMIT, -LIMIT, LIMIT, LIMIT];
  for (let row = rect.top; row < rect.bottom; row++) {
    const u = B * (row + 0.5) + C;
    const v = E * (row + 0.5) + F;
    range[0] = rect.left;
    range[1] = rect.right;
    columnRange(u, A, limits[0], limits[2], range);
    columnRange(v, D, limits[1], limits[3], range);
    const [from, to] = range;
    if (to <= from) continue;
    // The middle, where no tap needs a border, apart from the two ends; one more column at each end absorbs rounding.
    inner[0] = from;
    inner[1] = to;
    columnRange(u, A, 0.5, width - 0.5 - 1 / 64, inner);
    columnRange(v, D, 0.5, height - 0.5 - 1 / 64, inner);
    const innerFrom = inner[0];
    const innerTo = inner[1];
    // A rounded step drifts by up to 2^-17 px a column: long rows start afresh, so that the drift stays below the margin.
    const at = (a: number, b: number) => {
      for (let x = a; x < b; x += LONGEST) {
        const end = Math.min(b, x + LONGEST);
        push(row, x, end, u + A * (x + 0.5) - 0.5, v + D * (x + 0.5) - 0.5, A, D);
      }
    };
    if (innerTo > innerFrom) {
      at(from, innerFrom);
      at(innerFrom, innerTo);
      at(innerTo, to);
    } else at(from, to);
  }
}

/** One piece whose ends are known; cut further where the fixed-point range would not hold, left out where it reads nothing. */
function piece(
  row: number,
  from: number,
  to: number,
  u0: number,
  v0: number,
  u1: number,
  v1: number,
  clip: readonly [number, number, number, number] | null,
): void {
  if (clip !== null) {
    // Half a pixel of centre offset and one of rounding.
    if (Math.max(u0, u1) < clip[0] - 1 || Math.min(u0, u1) > clip[2] + 1) return;
    if (Math.max(v0, v1) < clip[1] - 1 || Math.min(v0, v1) > clip[3] + 1) return;
  }
  const n = to - from;
  const clamp = (value: number) => (value < -LIMIT ? -LIMIT : value > LIMIT ? LIMIT : value);
  const a = clamp(u0);
  const b = clamp(v0);
  push(row, from, to, a, b, (clamp(u1) - a) / n, (clamp(v1) - b) / n);
}

function projectiveSpans(m: Homography, rect: PixelRect, clip: readonly [number, number, number, number] | null): void {
  for (let row = rect.top; row < rect.bottom; row++) {
    const y = row + 0.5;
    const nx = m[1] * y + m[2];
    const ny = m[4] * y + m[5];
    const nw = m[7] * y + m[8];
    let x = rect.left + 0.5;
    let w = m[6] * x + nw;
    let u0 = (m[0] * x + nx) / w - 0.5;
    let v0 = (m[3] * x + ny) / w - 0.5;
    for (let from = rect.left; from < rect.right; from += SPAN_COLUMNS) {
      const to = Math.min(rect.right, from + SPAN_COLUMNS);
      const before = w;
      x = to + 0.5;
      w = m[6] * x + nw;
      const u1 = (m[0] * x + nx) / w - 0.5;
      const v1 = (m[3] * x + ny) / w - 0.5;
      // Behind the horizon (w changes its sign or vanishes) there is no source.
      if (before > 1e-9 && w > 1e-9) piece(row, from, to, u0, v0, u1, v1, clip);
      u0 = u1;
      v0 = v1;
    }
  }
}

function fieldSpans(
  m: Homography,
  field: InverseField,
  rect: PixelRect,
  clip: readonly [number, number, number, number] | null,
): void {
  let lastRow = -1;
  let lastTo = -1;
  let lastU = 0;
  let lastV = 0;
  const project = (x: number, y: number): boolean => {
    const w = m[6] * x + m[7] * y + m[8];
    lastU = (m[0] * x + m[1] * y + m[2]) / w - 0.5;
    lastV = (m[3] * x + m[4] * y + m[5]) / w - 0.5;
    return w > 1e-9;
  };
  let isSeen = false;
  field.eachSpan(rect, (row, from, to, dx0, dy0, dx1, dy1) => {
    const y = row + 0.5;
    if (!(field.isContinuous && row === lastRow && from === lastTo)) isSeen = project(from + 0.5 + dx0, y + dy0);
    const u0 = lastU;
    const v0 = lastV;
    const wasSeen = isSeen;
    isSeen = project(to + 0.5 + dx1, y + dy1);
    // Behind the horizon there is no source.
    if (wasSeen && isSeen) piece(row, from, to, u0, v0, lastU, lastV, clip);
    lastRow = row;
    lastTo = to;
  });
}
